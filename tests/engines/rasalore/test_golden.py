"""Stage 2 against numbers that were computed with the published network and closed-form weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from engines.rasalore.embedding import embedding_from
from engines.rasalore.folded import FoldedRasaLore
from engines.rasalore.losses import (
    closeness,
    coarse_mask_loss,
    dice,
    exponential_log,
    point_loss,
    structure_loss,
    tversky,
)
from engines.rasalore.network import Output, RasaLore
from tests.engines.rasalore import golden

STAGE2, LOSSES = golden.VALUES["rasalore_stage2"], golden.VALUES["rasalore_losses"]


def points() -> Tensor:
    """Single pixels of the disc at 128 x 128, as published."""
    return golden.masks(0, 128)[:, 0, ::4, ::4].flatten(1)


@pytest.fixture(scope="module")
def network() -> RasaLore:
    filled = RasaLore().double()
    golden.fill(filled)
    return filled.eval()


def test_published_size_has_the_published_parameters(network: RasaLore) -> None:
    assert sum(p.numel() for p in network.parameters()) == STAGE2["params"] == 7_254_370
    encoder = (network.stage1, network.stage2, network.stage3, network.stage4, network.refiner, network.rasa)
    assert sum(p.numel() for part in encoder for p in part.parameters()) == 3_711_585
    assert points().sum(1).tolist() == STAGE2["point_mask.sum"]


@pytest.fixture(scope="module")
def intermediate(network: RasaLore) -> dict[str, Tensor]:
    """What some parts gave in the pass of `output`."""
    return {}


@pytest.fixture(scope="module")
def output(network: RasaLore, intermediate: dict[str, Tensor]) -> Output:
    """One pass with gradients: it takes seconds in float64."""
    parts = {"s1": network.stage1, "refiner": network.refiner, "s3": network.stage3}
    hooks = [
        part.register_forward_hook(lambda _m, _i, out, name=name: intermediate.update({name: out.detach()}))
        for name, part in parts.items()
    ]
    out = network(golden.pictures())
    for hook in hooks:
        hook.remove()
    return out


def test_features_match_the_reference(network: RasaLore, output: Output, intermediate: dict[str, Tensor]) -> None:
    golden.check("rasalore_stage2", "x", golden.pictures())
    golden.check("rasalore_stage2", "E", network.rasa.location)
    for name, values in intermediate.items():
        golden.check("rasalore_stage2", name, values)


def test_outputs_losses_and_gradients_match_the_reference(network: RasaLore, output: Output) -> None:
    out = output
    golden.check("rasalore_stage2", "act", out.activations)
    golden.check("rasalore_stage2", "xi", out.codes)
    golden.check("rasalore_stage2", "F", out.embedding)
    golden.check("rasalore_stage2", "logits", out.logits)
    losses = {
        "Dec": coarse_mask_loss(out.logits.sigmoid(), golden.masks(0), golden.masks(1)),
        "PA": point_loss(out.activations, points()),
        "Struct": structure_loss(out.codes, points()),
    }
    for name, values in losses.items():
        assert values.tolist() == pytest.approx(STAGE2[f"loss.{name}.per_image"], rel=1e-7)
    total = sum(values.mean() for values in losses.values())
    assert total.item() == pytest.approx(STAGE2["loss.total"], rel=1e-8)
    total.backward()
    gradients = dict(network.named_parameters())
    for key, value in STAGE2.items():
        if key.startswith("grad_norm[") and "q_head" not in key:
            name = golden._renamed(key[10:-1])
            assert float(gradients[name].grad.norm()) == pytest.approx(value, rel=1e-5), key
    q_head = network.rasa.query.weight.grad[512:768]
    assert float(q_head.norm()) == pytest.approx(STAGE2["grad_norm[rasa.q_head2.weight]"], rel=1e-5)


def test_folded_form_in_float32_stays_close_to_the_reference() -> None:
    single = RasaLore()
    golden.fill(single)
    out = FoldedRasaLore(single)(golden.pictures().float())
    golden.check("rasalore_stage2", "logits", out.logits, rel=2e-3)
    golden.check("rasalore_stage2", "xi", out.codes, rel=2e-3)


def predictions() -> tuple[Tensor, Tensor, Tensor]:
    b, r, c = golden._grid(256)
    wave = 3 * np.sin(0.05 * r + 0.4 * b) * np.cos(0.045 * c - 0.3 * b)
    p = torch.from_numpy(0.02 + 0.96 / (1 + np.exp(-wave)))[:, None]
    b, n = np.meshgrid(np.arange(2.0), np.arange(1024.0), indexing="ij")
    a = torch.from_numpy(0.5 + 0.45 * np.sin(0.21 * n + 0.8 * b))
    b, n, c = np.meshgrid(np.arange(2.0), np.arange(1024.0), np.arange(256.0), indexing="ij")
    xi = torch.from_numpy(1.5 * np.sin(0.017 * n + 0.23 * c + 0.7 * b))
    return p.requires_grad_(), a.requires_grad_(), xi.requires_grad_()


def test_weight_maps_match_the_reference() -> None:
    core = closeness(golden.masks(0), 10)[:, 0]
    far = closeness(1 - golden.masks(0), 15)[:, 0]
    rim = closeness(golden.masks(1), 10)[:, 0]
    # The reference stores its maps in float32.
    for name, map_ in (("W_D(sigma10)", core), ("W_N(sigma15)", far)):
        assert map_.mean((1, 2)).tolist() == pytest.approx(LOSSES[f"{name}.mean_per_image"], rel=1e-7)
        assert float(map_[0, 100, 128]) == pytest.approx(LOSSES[f"{name}[0,100,128]"], rel=1e-6)
        assert float(map_[1, 64, 190]) == pytest.approx(LOSSES[f"{name}[1,64,190]"], rel=1e-6)
    assert float(rim[0].mean()) == pytest.approx(LOSSES["W_S(sigma10)[0].mean"], rel=1e-6)
    assert float(rim[1].abs().max()) == 0


def test_loss_terms_match_the_reference() -> None:
    p, a, xi = predictions()
    core, rim = golden.masks(0), golden.masks(1)
    near = core * closeness(core, 10)
    far = (1 - core) * closeness(1 - core, 15)
    assert tversky(p, near).tolist() == pytest.approx(LOSSES["tversky_DDPT_core.per_image"], rel=1e-7)
    assert dice((1 - p) * (1 - core), far).tolist() == pytest.approx(LOSSES["dice_background.per_image"], rel=1e-7)
    assert dice(rim, core).tolist() == pytest.approx(LOSSES["agreement_d.per_image"], rel=1e-7)
    for x, key in ((0.5, "EL(0.5)"), (0.9, "EL(0.9)"), (1e-5, "EL(1e-5)")):
        assert float(exponential_log(torch.tensor(x, dtype=torch.float64))) == pytest.approx(LOSSES[key], rel=1e-9)
    decoder = coarse_mask_loss(p, core, rim)
    assert decoder.tolist() == pytest.approx(LOSSES["loss.Dec.per_image"], rel=1e-7)
    total = decoder.mean() + point_loss(a, points()).mean() + structure_loss(xi, points()).mean()
    assert total.item() == pytest.approx(LOSSES["loss.total"], rel=1e-8)
    total.backward()
    for tensor, name in ((p, "p"), (a, "a"), (xi, "xi")):
        assert float(tensor.grad.norm()) == pytest.approx(LOSSES[f"grad_norm[{name}] of total"], rel=1e-6)
    assert float(p.grad[0, 0, 118, 141]) == pytest.approx(LOSSES["grad[p][0,0,118,141]"], rel=1e-6)


@pytest.mark.parametrize("legacy", [True, False])
def test_location_embedding_matches_the_reference(legacy: bool) -> None:
    d, k = np.meshgrid(np.arange(2.0), np.arange(128.0), indexing="ij")
    normal = torch.from_numpy(2.2 * np.sin(1.7 * k + 2.1 * d + 0.37) * np.cos(0.31 * k * (d + 1)))
    constant = torch.from_numpy(1.1 * np.cos(0.9 * np.arange(256.0) + 0.37))
    found = embedding_from(32, normal, constant, legacy_floor=legacy)
    name = "legacy floor" if legacy else "no floor"
    golden.check("rasalore_embedding", f"{name}: E", found, rel=1e-7)
    distinct = len(np.unique(found.numpy().round(6), axis=0))
    assert distinct == golden.VALUES["rasalore_embedding"][f"{name}: distinct rows (rounded 1e-6)"]
