"""The two published ways from log-likelihoods to scores, kept for comparison (README: what they cannot do)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

SIGMA = 4.0

Floats = NDArray[np.floating]


def smoothed(grid: Floats, shape: tuple[int, int, int], version: str) -> Floats:
    """Grid of l (rows, cols, slabs) -> voxels (H, W, D), trilinear, then a Gaussian of 4 voxels.

    "plos": over all three axes. "arxiv": over columns and slices only, as its code does.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(grid))[None, None]
    full = functional.interpolate(tensor, shape, mode="trilinear", align_corners=False)[0, 0].numpy()
    sigma = (SIGMA, SIGMA, SIGMA) if version == "plos" else (0, SIGMA, SIGMA)
    out: Floats = ndimage.gaussian_filter(full, sigma, mode="reflect", truncate=4.0)
    return out


def anomaly(smooth: Floats, top: float) -> Floats:
    """A = max P - P with P = exp(l - top); top: the largest l of the volume (plos) or of all volumes (arxiv)."""
    likely = np.exp(smooth - top)
    out: Floats = likely.max() - likely
    return out


def stretched(values: Floats) -> Floats:
    """Values moved to 0..1; zeros where all are the same."""
    low, width = values.min(), np.ptp(values)
    out: Floats = (values - low) / width if width > 0 else np.zeros_like(values)
    return out


def plos(smooth: Floats) -> tuple[Floats, Floats]:
    """Voxel map (H, W, D) in 0..1 and slice scores (D,): the largest A of each slice."""
    a = anomaly(smooth, float(smooth.max()))
    return stretched(a), a.max((0, 1))


def arxiv(volumes: Sequence[Floats]) -> list[tuple[Floats, Floats]]:
    """Voxel map and slice scores of each volume of a test set, scaled over the whole set."""
    likely = np.exp(np.stack(volumes) - max(float(one.max()) for one in volumes))
    maps = stretched(likely.max() - likely)
    return [(one, stretched(one.sum((0, 1)))) for one in maps]
