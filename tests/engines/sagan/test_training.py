"""The mechanics of training: losses fall, a kill costs nothing, the schedule ends where it should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.device import choose
from engines.errors import Cancelled
from engines.preparation import prepare_slices
from engines.sagan.inference import HealthyResidual, heat_and_scores, restore_stack, slice_scores, smoothed
from engines.sagan.pictures import Pictures, TrainingSets, augmented
from engines.sagan.settings import Settings
from engines.sagan.training import Trainer
from engines.training import linear_decay
from tests.engines import phantoms

CPU = torch.device("cpu")


def sets(seed: int = 0) -> TrainingSets:
    """Smooth blobs; the unlabeled ones carry a bright square."""
    torch.manual_seed(seed)
    coarse = torch.randn(24, 1, 8, 8)
    smooth = torch.nn.functional.interpolate(coarse, (64, 64), mode="bicubic").tanh() * 0.7
    ill = smooth[8:16].clone()
    ill[:, :, 20:40, 20:40] = 0.9
    foreground = torch.ones(8, 1, 64, 64, dtype=torch.bool)

    def part(pictures: torch.Tensor) -> Pictures:
        return Pictures(pictures.half(), foreground, torch.linspace(0, 1, 8))

    return TrainingSets(part(smooth[:8]), part(ill), part(smooth[16:]), ("s",))


TINY = replace(Settings.tiny(), iterations=8, checkpoint_every=2)


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.generator.parameters()])


def test_a_killed_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole = Trainer(TINY, sets(), CPU)
    whole.run(tmp_path / "whole", resume=False, report=lambda *_: None)

    def killed(done: int, _total: int, _text: str) -> None:
        if done == 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        Trainer(TINY, sets(), CPU).run(tmp_path / "cut", resume=False, report=killed)
    again = Trainer(TINY, sets(), CPU)
    state = again.run(tmp_path / "cut", resume=True, report=lambda *_: None)
    assert state.iteration == 8
    assert torch.equal(weights(whole), weights(again))
    assert [row["iteration"] for row in state.history] == [2, 4, 6, 8]


def test_identity_loss_falls_and_losses_stay_finite(tmp_path: Path) -> None:
    settings = replace(
        TINY, iterations=80, checkpoint_every=10, learning_rate=2e-3, augment=False, blobs=0.0, identity_weight=10
    )
    trainer = Trainer(settings, sets(), CPU)
    state = trainer.run(tmp_path, resume=False, report=lambda *_: None)
    assert all(torch.isfinite(torch.tensor(list(row.values()))).all() for row in state.history)
    assert state.history[-1]["identity"] < 0.95 * state.history[0]["identity"]


def test_generator_learns_on_every_second_critic_step() -> None:
    trainer = Trainer(TINY, sets(), CPU)
    start = weights(trainer)
    assert set(trainer.step(0)) == {"critic"}
    assert torch.equal(weights(trainer), start)
    assert set(trainer.step(1)) == {"critic", "adversarial", "identity", "restoration"}
    assert not torch.equal(weights(trainer), start)


def test_the_checkpoint_is_chosen_by_the_score_that_detection_gives() -> None:
    settings = replace(TINY, foreground=True, smooth_slices=0.0, slice_height=True)
    stack = prepare_slices(phantoms.brain(seed=1).volume, settings.size)
    trainer = Trainer(settings, sets(), CPU)
    trainer.generator.eval()
    restored = restore_stack(trainer.generator, settings, stack, choose("cpu"), lambda *_: None)
    healthy = HealthyResidual(np.full((64, 64), 0.01, np.float32), np.full((64, 64), 0.02, np.float32))
    _, detected = heat_and_scores(stack, restored, healthy, settings)
    source = Pictures(
        torch.from_numpy(stack.pictures)[:, None],
        torch.from_numpy(stack.foreground)[:, None],
        torch.from_numpy(stack.heights),
    )
    change, inside = trainer.changes(trainer.generator, source)
    heat = healthy.heat(smoothed(change, inside, settings), inside)
    np.testing.assert_allclose(slice_scores(heat, change, inside, settings), detected, rtol=1e-4)


def test_masked_shortcut_shows_the_doubled_input() -> None:
    trainer = Trainer(replace(TINY, mask_keep=0.95), sets(), CPU)
    pictures = torch.rand(8, 1, 64, 64) * 0.8
    with torch.no_grad():
        shown = trainer._restored(pictures, torch.zeros(8))
    share = torch.isclose(shown, torch.tanh(2 * pictures), atol=1e-6).float().mean().item()
    assert share == pytest.approx(0.05, abs=0.01)


def test_schedules_end_where_they_should() -> None:
    linear = linear_decay(100)
    assert [linear(i) for i in (0, 50, 75)] == pytest.approx([1, 1, 0.5])
    assert linear(99) == pytest.approx(0.02)
    reference = Trainer(replace(TINY, iterations=100_000, decay="reference"), sets(), CPU)
    assert 5e-5 * reference._reference_rate(99_999) == pytest.approx(4.995e-5, rel=1e-4)


def test_augmentation_keeps_picture_and_foreground_together() -> None:
    pictures = torch.full((6, 1, 64, 64), -0.98)
    pictures[:, :, 20:44, 24:40] = 0.5
    moved, inside = augmented(pictures, (pictures > 0).float(), torch.Generator().manual_seed(0), mirror=True)
    overlap = ((moved > -0.24) == (inside > 0.5)).float().mean()
    assert overlap > 0.98
    assert not torch.equal(inside, (pictures > 0).float())
