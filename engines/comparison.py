"""Runs beside each other: brought onto one grid, and how much they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engines.metrics import dice

Bools = NDArray[np.bool_]
# Rank correlation of 9 million voxels says no more than that of so many.
MOST_RANKED = 200_000
SAME_MM = 1e-3


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs inside the region both scored.

    first, second: their numbers. dice: of their masks; NaN where both are empty. correlation: Spearman's, of the
    percentiles. difference, low, high: mean difference of the percentiles (first - second) and Bland-Altman's limits
    of agreement (1.96 standard deviations).
    """

    first: int
    second: int
    dice: float
    correlation: float
    difference: float
    low: float
    high: float


def on_grid(
    values: NDArray[Any],
    affine: NDArray[np.float64],
    shape: tuple[int, ...],
    target: NDArray[np.float64],
    how: Literal["linear", "nearest"] = "linear",
) -> NDArray[Any]:
    """Values (i, j, k) of one grid on another one in the same patient space, 0 outside; affines: voxel -> RAS+ mm."""
    from scipy import ndimage

    if values.shape == tuple(shape) and np.abs(affine - target).max() < SAME_MM:
        return values
    to_source = np.linalg.solve(affine, target)
    source = values.astype(np.uint8) if values.dtype == np.bool_ else values
    moved: NDArray[Any] = ndimage.affine_transform(
        source, to_source[:3, :3], to_source[:3, 3], tuple(shape), order=1 if how == "linear" else 0, prefilter=False
    )
    return moved.astype(values.dtype, copy=False)


def consensus(
    percentiles: Sequence[NDArray[np.float32]], regions: Sequence[Bools], threshold: float, least: int
) -> NDArray[np.uint8]:
    """Voxels that at least so many runs put above the threshold, 0 or 1 on their common grid."""
    count = np.zeros(percentiles[0].shape, np.uint8)
    for values, region in zip(percentiles, regions, strict=True):
        count += (values > threshold) & region
    return (count >= least).astype(np.uint8)


def pairs(percentiles: Sequence[NDArray[np.float32]], regions: Sequence[Bools], threshold: float) -> list[Pair]:
    """Every two runs on one grid compared."""
    found = []
    for first in range(len(percentiles)):
        for second in range(first + 1, len(percentiles)):
            both = regions[first] & regions[second]
            a, b = percentiles[first][both], percentiles[second][both]
            found.append(Pair(first, second, dice(a > threshold, b > threshold), *_numbers(a, b)))
    return found


def _numbers(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[float, float, float, float]:
    from scipy import stats

    if len(a) < 2:
        return (float("nan"),) * 4
    step = max(1, len(a) // MOST_RANKED)
    ranked = a[::step], b[::step]
    constant = any(bool(np.all(part == part[0])) for part in ranked)
    correlation = float("nan") if constant else float(stats.spearmanr(*ranked).statistic)
    apart = a.astype(float) - b
    mean, spread = float(apart.mean()), 1.96 * float(apart.std(ddof=1))
    return correlation, mean, mean - spread, mean + spread
