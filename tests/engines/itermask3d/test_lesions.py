"""Invented lesions: in the brain only, repeatable, and filled in as healthy."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engines.itermask3d.lesions import planted
from engines.itermask3d.losses import filling_loss
from engines.itermask3d.preparation import LIMIT
from engines.itermask3d.settings import Settings
from engines.itermask3d.training import Healthy, Trainer

SHAPE = (40, 48, 40)


def _head() -> tuple[torch.Tensor, torch.Tensor]:
    axes = torch.meshgrid(*(torch.linspace(-1.2, 1.2, n) for n in SHAPE), indexing="ij")
    radius = torch.stack(axes).square().sum(0).sqrt()
    texture = 0.05 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(5))
    return torch.where(radius < 1.1, 0.5 + texture, 0.0), radius < 1


def _planted(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    head, brain = _head()
    return planted(head, brain, 3.0, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(6))
def test_a_lesion_changes_the_brain_and_nothing_else(seed: int) -> None:
    head, brain = _head()
    changed, lesion = _planted(seed)
    assert torch.equal(changed[~brain], head[~brain])
    assert lesion.any()
    assert not (lesion & ~brain).any()
    inside = (changed - head).abs()
    assert inside[lesion].mean() > 3 * inside[brain & ~lesion].mean()


def test_lesions_differ_and_come_back_with_their_seed() -> None:
    assert torch.equal(_planted(1)[0], _planted(1)[0])
    assert not torch.equal(_planted(1)[1], _planted(2)[1])


def test_a_brain_too_small_for_a_lesion_stays_as_it_is() -> None:
    head, brain = _head()
    speck = torch.zeros_like(brain)
    speck[20, 24, 20] = True
    same, lesion = planted(head, speck, 3.0, torch.Generator().manual_seed(0))
    assert torch.equal(same, head)
    assert not lesion.any()


def test_the_target_of_a_planted_lesion_is_the_healthy_brain_in_the_same_grey_levels() -> None:
    head, brain = _head()
    healthy = Healthy(head[None].half(), brain[None])
    settings = replace(Settings.tiny(), size=(48, 48, 48), planted=1.0, augment="none", whole_brain=0.0)
    trainer = Trainer(settings, healthy, healthy, torch.device("cpu"))
    shown, target, _, lesion = trainer._drawn(trainer.random)
    differs = ((shown - target).abs() > 1e-6)[0]
    assert 0 < differs.sum() < brain.sum()
    assert 0 < lesion.sum() <= differs.sum()
    within = brain & (target[0].abs() < LIMIT)
    levels = torch.stack([target[0][within], head[within]]).double()
    assert torch.corrcoef(levels)[0, 1] > 0.99999  # the healthy head, on another scale of grey levels
    assert (target[0][~brain] == -LIMIT).all()
    trainer = Trainer(replace(settings, planted=0.0), healthy, healthy, torch.device("cpu"))
    shown, target, _, lesion = trainer._drawn(trainer.random)
    assert torch.equal(shown, target)
    assert not lesion.any()


def test_a_copied_lesion_costs_more_than_any_other_mistake() -> None:
    volume = torch.zeros(1, 1, 8, 8, 8)
    lesion = torch.zeros_like(volume, dtype=torch.bool)
    lesion[..., 2:4, 2:4, 2:4] = True
    copied, elsewhere = volume.clone(), volume.clone()
    copied[lesion] = 1
    elsewhere[..., 4:6, 4:6, 4:6] = 1
    assert filling_loss(copied, volume, lesion, 30.0) == pytest.approx(
        31 * filling_loss(elsewhere, volume, lesion, 30.0)
    )
    assert filling_loss(copied, volume) == filling_loss(elsewhere, volume)
