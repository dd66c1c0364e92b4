"""Losses are finite everywhere, batched as they are one by one, and blur as scipy does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from engines.rasalore.embedding import location_embedding
from engines.rasalore.losses import (
    closeness,
    coarse_mask_loss,
    exponential_log,
    healthy_loss,
    point_loss,
    sharp_mask_loss,
    structure_loss,
)

SIDE = 32


def disc(row: float, col: float, radius: float) -> Tensor:
    r, c = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
    return torch.from_numpy(((r - row) ** 2 + (c - col) ** 2 <= radius**2).astype(np.float32))[None, None]


EMPTY, FULL = torch.zeros(1, 1, SIDE, SIDE), torch.ones(1, 1, SIDE, SIDE)


@pytest.mark.parametrize("overlap", [0.0, 1e-8, 0.5, 1 - 1e-7, 1.0, 1.0 + 1e-7])
def test_el_is_finite_with_its_slope(overlap: float) -> None:
    x = torch.tensor(overlap, requires_grad=True)
    value = exponential_log(x)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("core", [EMPTY, FULL, disc(10, 12, 5)], ids=["empty", "full", "disc"])
@pytest.mark.parametrize("rim", [EMPTY, FULL, disc(11, 13, 4)], ids=["empty", "full", "disc"])
@pytest.mark.parametrize("start", [-200.0, 0.0, 200.0])
def test_mask_losses_are_finite_for_any_mask_and_prediction(core: Tensor, rim: Tensor, start: float) -> None:
    logits = torch.full((1, 1, SIDE, SIDE), start, requires_grad=True)
    losses = (
        coarse_mask_loss(logits.sigmoid(), core, rim) + sharp_mask_loss(logits, core, rim) + healthy_loss(logits, rim)
    )
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(logits.grad).all()


def test_point_and_code_losses_are_finite_without_points() -> None:
    activations, codes = torch.rand(2, 16, requires_grad=True), torch.randn(2, 16, 8, requires_grad=True)
    points = torch.stack([torch.zeros(16), torch.ones(16)])
    total = point_loss(activations, points).sum() + structure_loss(codes, points).sum()
    total.backward()
    assert torch.isfinite(activations.grad).all()
    assert torch.isfinite(codes.grad).all()
    assert (activations.grad[0] > 0).all()  # an empty slice still silences its points


def test_a_batch_costs_the_mean_of_its_pictures() -> None:
    torch.manual_seed(0)
    p = torch.rand(3, 1, SIDE, SIDE)
    cores = torch.cat([disc(10, 12, 5), disc(20, 20, 8), EMPTY])
    rims = torch.cat([disc(11, 12, 5), EMPTY, EMPTY])
    together = coarse_mask_loss(p, cores, rims)
    alone = torch.cat([coarse_mask_loss(p[i : i + 1], cores[i : i + 1], rims[i : i + 1]) for i in range(3)])
    assert torch.allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize("sigma", [10.0, 15.0])
def test_blur_is_scipys(sigma: float) -> None:
    mask = np.zeros((2, 1, 256, 256), np.float32)
    mask[0, 0, 3:60, 100:256] = 1
    mask[1, 0, 200:230, :20] = 1
    expected = np.stack([ndimage.gaussian_filter(plane[0], sigma, mode="reflect", truncate=4.0) for plane in mask])
    expected /= expected.max((1, 2), keepdims=True)
    assert np.abs(closeness(torch.from_numpy(mask), sigma)[:, 0].numpy() - expected).max() < 1e-4


def test_pixels_nobody_knows_cost_nothing() -> None:
    weight = torch.ones(1, 1, SIDE, SIDE)
    weight[..., : SIDE // 2] = 0
    logits = torch.zeros(1, 1, SIDE, SIDE, requires_grad=True)
    (sharp_mask_loss(logits, disc(16, 16, 6), weight) + healthy_loss(logits, weight)).sum().backward()
    assert not logits.grad[..., : SIDE // 2].any()
    assert logits.grad[..., SIDE // 2 :].any()


def test_every_point_has_a_code_of_its_own() -> None:
    codes = location_embedding(32, 256, torch.Generator().manual_seed(1))
    apart = torch.cdist(codes, codes).fill_diagonal_(torch.inf)
    assert apart.min() > 10


def test_legacy_codes_repeat_after_sixteen_points() -> None:
    codes = location_embedding(32, 256, torch.Generator().manual_seed(1), legacy_floor=True)
    grid = codes.unflatten(0, (32, 32))
    assert len(np.unique(codes.numpy().round(6), axis=0)) == 256
    assert torch.allclose(grid[:16], grid[16:], atol=1e-6)
    assert torch.allclose(grid[:, :16], grid[:, 16:], atol=1e-6)
