"""Learning: pretraining finds where, prompts learn whether, and frozen parts stay frozen."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from engines.contract import silent
from engines.ddpt.backbones import backbone_to_train
from engines.ddpt.compact import CompactBackbone
from engines.ddpt.maps import look_where
from engines.ddpt.planting import planted
from engines.ddpt.pretraining import Likened, Pretrainer, likened, losses, top_mean
from engines.ddpt.seen_slices import SeenSlices, coverage, look
from engines.ddpt.settings import Settings
from engines.ddpt.training import PromptTrainer, warm_cosine
from engines.device import choose

SETTINGS = dataclasses.replace(
    Settings.tiny(), size=128, width=32, batch=12, pretraining=100, iterations=40, pretraining_rate=5e-3, dropout=0.0,
    text_phase=0.0, warm_up=0.0, optimiser="adamw", learning_rate=3e-3, text="written",
)  # fmt: skip
CPU = choose("cpu")


def brains(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Textured discs (n, 128, 128) and where they are."""
    random = torch.Generator().manual_seed(seed)
    rows, cols = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    inside = ((rows - 64).square() + (cols - 64).square() < 54**2).expand(count, -1, -1)
    grey = 0.4 + 0.03 * torch.randn(count, 128, 128, generator=random)
    return torch.where(inside, 2 * grey - 1, torch.full((), -0.98)), inside


def slices(backbone: CompactBackbone, count: int, seed: int) -> tuple[SeenSlices, SeenSlices]:
    """Healthy slices and as many with a bright blob, known by label; and planted ones with their place."""
    healthy, inside = brains(count, seed)
    ill, where = planted(*brains(count, seed + 1), np.random.default_rng(seed))
    invented, lesions = planted(*brains(count, seed + 2), np.random.default_rng(seed + 1))
    labels = torch.arange(2 * count) >= count
    known = _together(
        backbone, torch.cat([healthy, ill]), inside.repeat(2, 1, 1), torch.cat([where & False, where]), labels
    )
    return known, _together(backbone, invented, inside, lesions, torch.ones(count, dtype=torch.bool))


def _together(backbone: CompactBackbone, pictures: Tensor, inside: Tensor, cover: Tensor, labels: Tensor) -> SeenSlices:
    seen = look(backbone, pictures, CPU).half().numpy()
    where = np.array([(0, row) for row in range(len(seen))])
    side = backbone.side
    return SeenSlices((seen,), coverage(inside, side).half(), coverage(cover, side).half(), labels, where)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> tuple[CompactBackbone, SeenSlices]:
    backbone, _, raw = backbone_to_train(SETTINGS)
    assert raw
    assert isinstance(backbone, CompactBackbone)
    known, invented = slices(backbone, 8, 0)
    blind = dataclasses.replace(known, cover=torch.zeros_like(known.cover))  # slice labels only
    folder = tmp_path_factory.mktemp("pretraining")
    Pretrainer(SETTINGS, backbone, blind, invented, CPU.torch).run(folder, resume=False, report=silent)
    return backbone, known


def test_pretraining_learns_where_from_planted_lesions_and_labels(
    pretrained: tuple[CompactBackbone, SeenSlices],
) -> None:
    backbone, known = pretrained
    seen, inside, cover = known.take(torch.arange(16), CPU.torch)
    with torch.no_grad():
        said = likened(backbone, seen)
    brain, lesion = inside > 0.5, cover > 0.5
    assert roc_auc_score(lesion[brain], said.places[brain]) > 0.9
    assert (said.places[:8] > 0).float().mean() < 0.05
    assert said.whole[8:].min() > said.whole[:8].max()


def test_prompts_learn_the_label_while_the_backbone_rests(
    pretrained: tuple[CompactBackbone, SeenSlices], tmp_path: Path
) -> None:
    backbone, known = pretrained
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    trainer = PromptTrainer(SETTINGS, backbone, known, CPU.torch)
    start = trainer.step(0)["class prompts"]
    trainer.run(tmp_path, resume=False, report=silent)
    assert trainer.step(SETTINGS.iterations)["class prompts"] < start
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    seen, _, _ = known.take(torch.arange(16), CPU.torch)
    odds = look_where(backbone, trainer.prompts, seen, SETTINGS).log_odds
    assert odds[8:].min() > odds[:8].max()


def test_features_of_the_mirror_image_need_no_second_look() -> None:
    backbone, _, _ = backbone_to_train(SETTINGS)
    assert isinstance(backbone, CompactBackbone)
    pictures, _ = brains(2, 5)
    pictures[:, 20:50, 40:60] = 0.5
    with torch.no_grad():
        assert torch.allclose(backbone.mirrored(backbone.look(pictures)), backbone.look(pictures.flip(-1)), atol=1e-6)


@pytest.mark.parametrize("size", [1e3, 0.0, -1e3])
def test_losses_are_finite_for_any_certainty_and_for_empty_slices(size: float) -> None:
    certain = torch.full((6, 16), size, requires_grad=True)
    said = Likened(certain[:, 0], certain, certain, torch.full((6, 16), 1 / 17))
    for inside in (
        torch.ones(6, 16, dtype=torch.bool),
        torch.zeros(6, 16, dtype=torch.bool).index_fill(1, torch.tensor(0), 1),
    ):
        terms = losses(said, inside, torch.zeros(6, 16), [2, 3, 1], Settings())
        total = torch.stack(list(terms.values())).sum()
        assert torch.isfinite(total)
        (gradient,) = torch.autograd.grad(total, certain, retain_graph=True)
        assert torch.isfinite(gradient).all()


def test_highest_places_are_those_inside() -> None:
    places = torch.tensor([[9.0, 1.0, 3.0, 2.0]])
    inside = torch.tensor([[False, True, True, True]])
    assert top_mean(places, inside, 0.05).item() == 3.0
    assert top_mean(places, inside, 0.7).item() == 2.5


def test_learning_rate_is_the_published_one() -> None:
    settings = dataclasses.replace(Settings(), iterations=60)
    rate = warm_cosine(settings, 10 / 60, 0.01)
    assert rate(0) == rate(9) == 1e-5
    assert rate(10) == pytest.approx(0.01)
    assert rate(60) == pytest.approx(6.7e-4, rel=1e-2)
