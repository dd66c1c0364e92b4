"""From what the network looked at to a map on the picture and a pseudo-mask."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from PIL import Image

from engines.ddpt.maps import blended, guided, on_pictures, pseudo_masks, smoothed_over_slices
from engines.ddpt.settings import Settings
from tests.engines.ddpt.golden import VALUES

PLAIN = dataclasses.replace(Settings(), guide_px=0)


def disc(size: int = 64, row: float = 30, col: float = 40, radius: float = 9) -> np.ndarray:
    rows, cols = np.indices((size, size))
    return (rows - row) ** 2 + (cols - col) ** 2 < radius**2


def test_highest_value_of_each_slice_is_one_whatever_the_blend() -> None:
    maps = torch.rand(3, 3, 16, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e-3, 1.0, 7.0])[:, None]
    inside = torch.ones(3, 16)
    for weights in ((1.0, 0.0, 0.0), (0.5, 0.5, 1.0)):
        assert torch.allclose(blended(maps, inside, weights).amax(1), torch.ones(3))
    alone = blended(maps, inside, (1.0, 0.0, 0.0))
    assert torch.allclose(alone, maps[:, 0] / maps[:, 0].amax(1, keepdim=True))


def test_what_lies_outside_the_brain_counts_for_nothing() -> None:
    maps, inside = torch.full((1, 3, 4), 0.5), torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    maps[..., 3] = 100.0
    assert torch.allclose(blended(maps, inside, (1.0, 1.0, 1.0)), torch.tensor([[1.0, 1.0, 1.0, 0.0]]))


def test_blank_slice_stays_blank() -> None:
    none = torch.zeros(1, 16)
    shown = on_pictures(none, np.full((1, 32, 32), -0.98, np.float32), np.zeros((1, 32, 32), bool), Settings())
    assert not shown.any()
    assert not pseudo_masks(shown, np.array([False]), Settings()).any()


def test_map_keeps_more_than_the_published_eight_bits() -> None:
    rows, cols = np.indices((7, 7))
    attention = 0.03 + 0.12 * np.exp(-((rows - 2) ** 2 + (cols - 4) ** 2) / 3)
    small = Image.fromarray((attention * 255).astype(np.uint8))
    published = np.asarray(small.resize((224, 224), Image.Resampling.BICUBIC), float)
    published = (published / published.max() * 255).astype(np.uint8)
    wanted = VALUES["legacy_map"]
    assert int(published.sum()) == wanted["png.sum"]
    assert int((published > 127).sum()) == wanted["png pixels above 127"]
    ours = on_pictures(
        torch.from_numpy(attention).reshape(1, 49),
        np.zeros((1, 224, 224), np.float32),
        np.ones((1, 224, 224), bool),
        PLAIN,
    )[0]
    assert ours.max() == 1
    assert np.abs(ours - published / 255).max() < 3 / wanted["resized max before /max"]
    assert len(np.unique(ours)) > 1000 > len(np.unique(published))


def test_guided_map_follows_the_edge_of_the_lesion() -> None:
    lesion = disc()
    picture = np.where(lesion, 0.8, 0.4).astype(np.float32)
    coarse = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(lesion).float()[None, None], 8)
    blurred = torch.nn.functional.interpolate(coarse, (64, 64), mode="bicubic")[0, 0].numpy()
    sharp = guided(blurred, picture, np.ones_like(lesion), 6)

    def overlap(values: np.ndarray) -> float:
        mask = values > 0.5 * values.max()
        return float(2 * (mask & lesion).sum() / (mask.sum() + lesion.sum()))

    assert overlap(sharp) > 0.95 > overlap(blurred)


def test_healthy_slices_have_no_mask_and_small_parts_go() -> None:
    maps = np.stack([disc(radius=9), disc(radius=9), disc(radius=2)]).astype(np.float32)
    masks = pseudo_masks(maps, np.array([False, True, False]), Settings())
    assert masks[0].any()
    assert not masks[1].any()
    assert not masks[2].any()


def test_smoothing_goes_along_the_body_however_slices_are_counted() -> None:
    log_odds, heights = np.array([0, 0, 5, 0, 0], np.float32), np.linspace(0, 1, 5, dtype=np.float32)
    order = np.array([3, 0, 4, 1, 2])
    smooth = smoothed_over_slices(log_odds, heights, Settings())
    assert np.allclose(smoothed_over_slices(log_odds[order], heights[order], Settings()), smooth[order])
    assert smooth[1] > 0.5
