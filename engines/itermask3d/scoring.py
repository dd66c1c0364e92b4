"""From what phase B found on the model's grid to numbers on the scan's own grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from engines.itermask3d.healthy_curves import HealthyCurves
from engines.itermask3d.preparation import Grid, Maps
from engines.itermask3d.settings import Score, Settings
from engines.itermask3d.shrinking import Shrunk
from engines.itermask3d.threshold import Floats

FEWEST_VOXELS = 10  # of the brain in a slice, for the slice to get a score


def heatmap(grid: Grid, shrunk: Shrunk, threshold: float, settings: Settings) -> Maps:
    """Error over threshold on the scan's grid, so that 1 is where the mask ends (before smoothing): float32 (i, j, k).

    Smoothed inside the brain: an error of one voxel next to a sulcus is no finding.
    """
    chosen = shrunk.error if settings.heat == "last" else shrunk.mean_error
    error = chosen.float().cpu().numpy()
    sigma = settings.smooth_mm / settings.voxel_mm
    if sigma > 0:
        inside = grid.brain.astype(np.float32)
        weight = ndimage.gaussian_filter(inside, sigma)
        error = ndimage.gaussian_filter(error, sigma) / np.maximum(weight, 1e-3) * inside
    return np.where(grid.region, grid.to_volume(error / max(threshold, 1e-12)), 0).astype(np.float32)


def iteration_masks(grid: Grid, masks: Sequence[Tensor]) -> NDArray[np.uint32]:
    """All masks of phase B in one array on the scan's grid: bit n of a voxel is set where mask n covers it."""
    bits = np.zeros(grid.brain.shape, np.uint32)
    for number, mask in enumerate(masks):
        bits |= mask.cpu().numpy().astype(np.uint32) << np.uint32(number)
    return np.where(grid.region, grid.to_volume(bits, order=0), np.uint32(0))


def slice_scores(heat: Maps, region: NDArray[np.bool_], axis: int) -> Maps:
    """Mean of the heatmap over the brain in each slice along `axis`: (slices,), NaN where there is hardly any brain."""
    others = tuple(other for other in range(3) if other != axis)
    voxels = region.sum(others)
    means = heat.sum(others, np.float64, where=region) / np.maximum(voxels, 1)
    return np.where(voxels >= min(FEWEST_VOXELS, voxels.max()), means, np.nan).astype(np.float32)


def study_score(grid: Grid, curve: Floats, shrunk: Shrunk, healthy: HealthyCurves, kind: Score) -> float:
    """The share of the brain in the final mask, the mean error inside the brain, or how unusual curve and error are."""
    voxels = float(grid.brain.sum())
    if kind == "mask":
        return float(shrunk.masks[-1].sum()) / voxels
    error = float(shrunk.error.sum()) / voxels
    return error if kind == "error" else healthy.distance(curve, error)
