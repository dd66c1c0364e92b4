"""From what phase B found on the model's grid to numbers on the scan's own grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engines.blocks.place_scores import top_mean
from engines.itermask3d.found import Found
from engines.itermask3d.healthy_difference import HealthyDifference, smoothed
from engines.itermask3d.healthy_signs import together
from engines.itermask3d.preparation import Grid, Maps
from engines.itermask3d.settings import Score, Settings
from engines.itermask3d.shrinking import Shrunk

FEWEST_VOXELS = 10  # of the brain in a slice, for the slice to get a score


def heatmap(
    grid: Grid, shrunk: Shrunk, difference: Maps, threshold: float, usual: HealthyDifference, settings: Settings
) -> Maps:
    """The heat on the scan's grid: float32 (i, j, k), 0 outside the region.

    difference: smoothed, between the scan and its filling under the final mask, on the model's grid.
    "deviation": healthy standard deviations at the same place. Else the error over the threshold, so that 1 is where
    the mask ends, then smoothed inside the brain: an error of one voxel next to a sulcus is no finding.
    """
    if settings.heat == "deviation":
        heat = usual.standardised(difference, grid.brain, settings.mirrored, settings.voxel_mm)
    else:
        error = (shrunk.error if settings.heat == "last" else shrunk.mean_error).float().cpu().numpy()
        heat = smoothed(error, grid.brain, settings.smooth_mm / settings.voxel_mm) / max(threshold, 1e-12)
    return np.where(grid.region, grid.to_volume(heat), 0).astype(np.float32)


def iteration_masks(grid: Grid, masks: Sequence[Tensor]) -> NDArray[np.uint32]:
    """All masks of phase B in one array on the scan's grid: bit n of a voxel is set where mask n covers it."""
    bits = np.zeros(grid.brain.shape, np.uint32)
    for number, mask in enumerate(masks):
        bits |= mask.cpu().numpy().astype(np.uint32) << np.uint32(number)
    return np.where(grid.region, grid.to_volume(bits, order=0), np.uint32(0))


def slice_scores(heat: Maps, region: NDArray[np.bool_], axis: int, share: float) -> Maps:
    """Mean of the highest share of the brain's heat in each slice along `axis`: (slices,), NaN without brain."""
    per_slice = [
        part[inside] for part, inside in zip(np.moveaxis(heat, axis, 0), np.moveaxis(region, axis, 0), strict=True)
    ]
    fewest = min(FEWEST_VOXELS, max(map(len, per_slice)))
    scores = [top_mean(values, share) if len(values) >= max(1, fewest) else np.nan for values in per_slice]
    return np.array(scores, np.float32)


def study_score(found: Found, distances: Mapping[str, float], kind: Score) -> float:
    """The share of the brain in the final mask, the mean error inside the brain, or how unusual its signs are."""
    if kind == "unusual":
        return together(distances)
    filled = found.shrunk.masks[-1] if kind == "mask" else found.shrunk.error
    return float(filled.sum()) / float(found.grid.brain.sum())
