"""How healthy brains differ from their filling at each place: what a heatmap of deviations is measured against.

Fillings are smooth, so every healthy rim and sulcus differs in the same direction. Smoothing the *signed* difference
cancels noise, and taking off what is usual at a place leaves what is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from engines.blocks.mirrored import reflected
from engines.itermask3d.preparation import Maps

STEP_MM = 4.0  # voxels of the stored maps: they are smooth, and a package stays small
SPREAD_MM = 4.0  # Gaussian sigma: brains are centred, not registered
REACH_MM = 12.0  # how far a brain's middle may lie from that of its grid
PRIOR = 0.5  # subjects' worth of the whole brain's deviation mixed into every place
NAME = "itermask3d.healthy_difference"


@dataclass(frozen=True, slots=True, eq=False)
class HealthyDifference:
    """Mean and standard deviation of smoothed differences, in the model's grey levels: float32 (2, i, j, k), coarse."""

    maps: Maps

    @classmethod
    def unknown(cls) -> HealthyDifference:
        """Before healthy volumes were measured: nothing is usual, one grey level is one deviation."""
        return cls(np.stack([np.zeros((1, 1, 1)), np.ones((1, 1, 1))]).astype(np.float32))

    @classmethod
    def measured(
        cls, differences: Sequence[Maps], brains: Sequence[NDArray[np.bool_]], voxel_mm: float
    ) -> HealthyDifference:
        """Pool the smoothed differences (i, j, k) of healthy volumes inside their brains."""

        def spread(parts: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
            total = np.sum(parts, 0, dtype=np.float64)
            return np.asarray(ndimage.gaussian_filter(total, SPREAD_MM / voxel_mm))

        inside = list(zip(differences, brains, strict=True))
        count = spread([brain for _, brain in inside]) + PRIOR
        mean = spread([one * brain for one, brain in inside]) / count
        squares = [np.square(one - mean) * brain for one, brain in inside]
        overall = sum(float(square.sum()) for square in squares) / max(1, sum(int(brain.sum()) for _, brain in inside))
        deviation = np.sqrt((spread(squares) + PRIOR * overall) / count) + 1e-6
        step = max(1, round(STEP_MM / voxel_mm))
        whole = torch.from_numpy(np.stack([mean, deviation]))
        return cls(functional.avg_pool3d(whole, step).float().numpy())

    def standardised(self, difference: Maps, brain: NDArray[np.bool_], mirrored: float, voxel_mm: float) -> Maps:
        """How many healthy deviations a smoothed difference (i, j, k) lies from the healthy mean, to either side.

        mirrored: the share of the other side's deviation that is taken off where both deviate alike, as with another
        scanner; never beyond zero, so that a lesion leaves no ghost on the other side.
        """
        known = torch.from_numpy(self.maps)[None]
        mean, deviation = functional.interpolate(known, difference.shape, mode="trilinear")[0].numpy()
        signed = (difference - mean) / deviation
        if mirrored:
            other = reflected(signed, brain, 0, SPREAD_MM / voxel_mm, round(REACH_MM / voxel_mm))
            alike = np.maximum(np.sign(signed) * other, 0)
            return np.asarray(np.maximum(np.abs(signed) - mirrored * alike, 0) * brain, np.float32)
        return np.asarray(np.abs(signed) * brain, np.float32)

    def to_arrays(self) -> dict[str, Maps]:
        """Named array for calibration.safetensors."""
        return {NAME: self.maps}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> HealthyDifference:
        """The inverse of to_arrays; unknown() where it is missing or damaged."""
        maps = np.asarray(arrays.get(NAME, ()), np.float32)
        if maps.ndim != 4 or len(maps) != 2 or not np.isfinite(maps).all() or maps[1].min() <= 0:
            return cls.unknown()
        return cls(maps)


def smoothed(values: Maps, brain: NDArray[np.bool_], sigma: float) -> Maps:
    """Values (i, j, k) smoothed within the brain (bool), 0 outside; sigma in voxels."""
    inside = brain.astype(np.float32)
    if sigma <= 0:
        return values * inside
    weight = ndimage.gaussian_filter(inside, sigma)
    return np.asarray(ndimage.gaussian_filter(values * inside, sigma) / np.maximum(weight, 1e-3) * inside, np.float32)
