"""How well healthy tissue can be filled at each place, so that the brain's rim does not drown a lesion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

STEP = 4  # voxels of the model's grid to one of the map: it is smooth, and a package stays small
SPREAD = 0.75  # Gaussian sigma in voxels of the map: brains are centred, not registered
FLOOR = 0.2  # of the mean error, added everywhere: nothing is filled without error

Maps = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class HealthyError:
    """Mean squared error of healthy brains that are masked as a whole: float32 (i / STEP, j / STEP, k / STEP)."""

    map: Maps

    @classmethod
    def unknown(cls, size: tuple[int, int, int]) -> HealthyError:
        """No correction, as published: the same everywhere."""
        i, j, k = size
        return cls(np.ones((i // STEP, j // STEP, k // STEP), np.float32))

    @classmethod
    def measured(cls, sums: NDArray[np.float64]) -> HealthyError:
        """The mean error from the sum of healthy volumes' `pooled`: (2, i / STEP, j / STEP, k / STEP)."""
        errors, voxels = (ndimage.gaussian_filter(part, SPREAD) for part in sums)
        # Where no healthy brain was, the mean of all serves.
        prior = 1e-2 * voxels.max()
        return cls(((errors + prior * errors.sum() / voxels.sum()) / (voxels + prior)).astype(np.float32))

    def weights(self, brain: Tensor) -> Tensor:
        """Factor of each voxel's error, 0 outside the brain and 1 on average over the map: float32 (i, j, k)."""
        known = torch.from_numpy(self.map).to(brain.device)
        smooth = functional.interpolate(known[None, None], brain.shape, mode="trilinear")[0, 0]
        mean = smooth[brain].mean()
        factor = (1 + FLOOR) * mean / (smooth + FLOOR * mean)
        return torch.where(brain, factor, 0.0)

    def to_arrays(self) -> dict[str, Maps]:
        """Named array for calibration.safetensors."""
        return {"itermask3d.healthy_error": self.map}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], size: tuple[int, int, int]) -> HealthyError:
        """The inverse of to_arrays; without it no correction."""
        found, unknown = arrays.get("itermask3d.healthy_error"), cls.unknown(size)
        if found is None or found.shape != unknown.map.shape or not (np.isfinite(found) & (found > 0)).all():
            return unknown
        return cls(found.astype(np.float32))


def pooled(error: Tensor, brain: Tensor) -> NDArray[np.float64]:
    """Error (i, j, k; 0 outside the brain) and brain (bool) of one volume, on the map's voxels: (2, ...)."""
    both = torch.stack([error.float().cpu(), brain.float().cpu()])
    return functional.avg_pool3d(both, STEP).double().numpy()
