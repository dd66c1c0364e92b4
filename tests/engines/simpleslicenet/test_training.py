"""Flow and losses by hand, resuming, stage 0: what learns and what must not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.blocks.feature_store import FeatureStore
from engines.blocks.slice_encoder import random_encoder
from engines.errors import BadInput, Cancelled
from engines.simpleslicenet import losses
from engines.simpleslicenet.contrast import ContrastDecoder, contrast_loss
from engines.simpleslicenet.contrast_training import ContrastTrainer
from engines.simpleslicenet.flow import ConditionalFlow, CouplingBlock, rotation
from engines.simpleslicenet.position import position_code
from engines.simpleslicenet.settings import Settings
from engines.simpleslicenet.training import FlowTrainer, condition

CPU = torch.device("cpu")
TINY = replace(
    Settings.tiny(),
    lesion_share=0.0,
    spp_weight=1.0,
    iterations=30,
    checkpoint_every=10,
    batch=128,
    blocks=2,
    subjects=2,
)


def silent(*_: object) -> None:
    """Nobody listens."""


def healthy(seed: int = 0, volumes: int = 3) -> FeatureStore:
    random = np.random.default_rng(seed)
    mix = np.random.default_rng(7).normal(size=(4, 16))
    parts = [np.maximum(random.normal(size=(300, 4)) @ mix, 0).astype(np.float16) for _ in range(volumes)]
    places = [random.uniform(0, 1, (300, 3)).astype(np.float32) for _ in range(volumes)]
    return FeatureStore(tuple(parts), tuple(places))


def test_block_opens_as_a_rotation_of_published_size() -> None:
    block = CouplingBlock(512, 128)
    assert sum(p.numel() for p in block.parameters()) == 345_984
    assert (0.1 * torch.nn.functional.softplus(block.scale, beta=0.5)).allclose(torch.ones(1, 512), atol=1e-5)
    turn = rotation(9, torch.Generator().manual_seed(0)).double()
    assert torch.allclose(turn @ turn.T, torch.eye(9, dtype=torch.float64), atol=1e-6)
    assert torch.linalg.det(turn).item() == pytest.approx(1, abs=1e-5)


def test_log_determinant_is_that_of_the_jacobian() -> None:
    torch.manual_seed(0)
    flow = ConditionalFlow(8, 12, 3).double()
    for parameter in flow.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    x, p = torch.randn(1, 8).double(), torch.randn(1, 12).double()
    # Rotations are stored in float32, so their determinant is 1 within 1e-7 only.
    jacobian = torch.autograd.functional.jacobian(lambda v: flow(v, p)[0][0], x)[:, 0]
    assert flow(x, p)[1].item() == pytest.approx(
        torch.linalg.slogdet(jacobian).logabsdet.item(), rel=1e-5
    )  # rotations are stored in float32


def test_likelihood_of_the_middle_and_of_unit_distance() -> None:
    flow = ConditionalFlow(6, 4, 0)
    unit = torch.ones(1, 6)
    assert flow.log_likelihood(unit, torch.zeros(1, 4)).item() == pytest.approx(-0.5 * np.log(2 * np.pi) - 0.5)
    flow.mean.fill_(1.0)
    assert flow.log_likelihood(unit, torch.zeros(1, 4)).item() == pytest.approx(-0.5 * np.log(2 * np.pi))


def test_bfloat16_stays_near_float32() -> None:
    torch.manual_seed(0)
    flow = ConditionalFlow(64, 128, 8)
    x, p = torch.randn(50, 64) * 3, position_code(torch.arange(50.0), torch.arange(50.0))
    plain = flow.log_likelihood(x, p)
    with torch.autocast("cpu", torch.bfloat16):
        half = flow.log_likelihood(x, p)
    assert half.dtype == torch.float32
    assert (half - plain).abs().max() < 0.02 * plain.abs().max()


def test_third_axis_is_the_height() -> None:
    rows, cols = torch.zeros(2), torch.zeros(2)
    code = position_code(rows, cols, torch.tensor([0.0, 0.5]))
    assert code.shape == (2, 192)
    assert torch.equal(code[0, :128], code[1, :128])
    assert code[1, 128].item() == pytest.approx(np.sin(16.0), abs=1e-5)


def test_boundary_counts_from_the_least_likely() -> None:
    values = torch.arange(40.0).flip(0)
    assert losses.boundary(values, 0.05).item() == pytest.approx(0.2)


def test_nothing_beyond_the_two_lines_is_pushed() -> None:
    normal = torch.tensor([-8.0, -5.0, -1.4, -1.3, -1.2], requires_grad=True)
    synthetic = torch.tensor([-30.0, -9.5, -2.0], requires_grad=True)
    pull, push = losses.semi_push_pull(normal, synthetic, beta=0.3, tau=0.1)
    (pull + push).backward()
    assert (normal.grad != 0).tolist() == [True, True, False, False, False]
    assert normal.grad[0] < 0
    assert (synthetic.grad != 0).tolist() == [False, False, True]
    assert synthetic.grad[2] > 0


def test_nothing_to_push_costs_nothing() -> None:
    normal = torch.tensor([-1.0, -1.1], requires_grad=True)
    pull, push = losses.semi_push_pull(normal, torch.full((3,), -50.0), focal=True)
    (pull + push).backward()
    assert push.item() == 0
    assert torch.isfinite(normal.grad).all()


def test_focal_weights_stay_finite_where_the_density_exceeds_one() -> None:
    values = torch.tensor([-5.0, 0.0, 1e-9, 3.0])
    assert torch.isfinite(losses.focal_normal(values)).all()
    assert losses.focal_synthetic(values, capped=True).max() <= 20


@pytest.mark.parametrize("loss", ["spp", "triplet", "likelihood"])
def test_training_makes_healthy_places_likelier_and_noisy_ones_less_so(loss: str, tmp_path: Path) -> None:
    settings = replace(TINY, loss=loss, iterations=40, checkpoint_every=20, learning_rate=5e-3)
    trainer = FlowTrainer(settings, healthy(), healthy(1), None, CPU)
    before = trainer.validate()
    state = trainer.run(tmp_path, resume=False, report=silent)
    assert trainer.validate() > before
    assert all(np.isfinite(list(row.values())).all() for row in state.history)
    if loss == "spp":
        assert state.history[-1]["separation"] > 0.6


def test_places_of_lesions_are_pushed_away(tmp_path: Path) -> None:
    lesions = FeatureStore(tuple((3 - part).astype(np.float16) for part in healthy(2).features), healthy(2).places)
    settings = replace(TINY, lesion_share=1.0, spp_weight=10.0, iterations=40, learning_rate=5e-3)
    trainer = FlowTrainer(settings, healthy(), healthy(1), (lesions, lesions), CPU)
    trainer.run(tmp_path, resume=False, report=silent)
    features, place = lesions.draw(100, 3, torch.Generator().manual_seed(0))
    with torch.no_grad():
        pushed = trainer.flow.log_likelihood(features, condition(place, settings)).mean()
        kept = trainer.flow.log_likelihood(*trainer.held_out[0]).mean()
    assert pushed < kept - 0.5
    assert trainer.validate() > 0.9


def test_a_killed_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole = FlowTrainer(TINY, healthy(), healthy(1), None, CPU)
    whole.run(tmp_path / "whole", resume=False, report=silent)

    def killed(done: int, _total: int, _text: str) -> None:
        if done == 25:
            raise Cancelled

    with pytest.raises(Cancelled):
        FlowTrainer(TINY, healthy(), healthy(1), None, CPU).run(tmp_path / "cut", resume=False, report=killed)
    again = FlowTrainer(TINY, healthy(), healthy(1), None, CPU)
    again.run(tmp_path / "cut", resume=True, report=silent)
    for mine, theirs in zip(whole.flow.parameters(), again.flow.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_encoder_learns_through_the_way_over_stride_32_only() -> None:
    torch.manual_seed(0)
    encoder = random_encoder("resnet18", 0, 4).requires_grad_(True)
    decoder = ContrastDecoder("resnet18")
    pictures = torch.rand(2, 64, 64) * 2 - 1

    def gradient(*, detached: bool) -> float:
        maps = encoder(pictures)
        bottom = maps[3].detach() if detached else maps[3]
        terms = contrast_loss(maps[:3], decoder(bottom))
        found = torch.autograd.grad(torch.stack(terms).sum(), encoder.net.conv1.weight, allow_unused=True)[0]
        return 0.0 if found is None else found.abs().sum().item()

    assert gradient(detached=True) == 0
    assert gradient(detached=False) > 0


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "resnet18"])
def test_stage_0_lowers_its_loss_and_resumes(backbone: str, tmp_path: Path) -> None:
    settings = replace(
        TINY, backbone=backbone, contrast_iterations=6, contrast_batch=2, checkpoint_every=2, contrast_rate=3e-3
    )
    torch.manual_seed(0)
    coarse = torch.randn(8, 1, 8, 8)
    pictures = torch.nn.functional.interpolate(coarse, (64, 64), mode="bicubic")[:, 0].tanh().half()
    trainer = ContrastTrainer(settings, random_encoder(backbone, 0, 4), pictures, CPU)
    state = trainer.run(tmp_path, resume=False, report=silent)
    first, last = state.history[0], state.history[-1]
    assert sum(last[f"level{k}"] for k in (1, 2, 3)) < sum(first[f"level{k}"] for k in (1, 2, 3))
    assert last["spread"] > 0
    assert not any(p.requires_grad for p in trainer.encoder.parameters())
    again = ContrastTrainer(replace(settings, contrast_iterations=7), random_encoder(backbone, 0, 4), pictures, CPU)
    assert again.run(tmp_path, resume=True, report=silent).iteration == 7


def test_presets_are_the_published_choices() -> None:
    arxiv, plos = Settings.preset("arxiv2024"), Settings.preset("plos2025")
    assert (arxiv.blocks, arxiv.loss, arxiv.focal_weights) == (2, "spp", True)
    assert (plos.blocks, plos.loss, plos.height, plos.standardise) == (8, "triplet", False, False)
    with pytest.raises(BadInput, match="no preset"):
        Settings.preset("best")
    assert (arxiv.lesion_share, plos.lesion_share) == (0, 0)
    with pytest.raises(BadInput, match="stage 0"):
        Settings(heatmap="contrast")
    with pytest.raises(BadInput, match="needs lesions"):
        Settings(lesions=0)
