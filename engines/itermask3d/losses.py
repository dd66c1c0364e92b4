"""IterMask3D's loss."""

from __future__ import annotations

from torch import Tensor


def filling_loss(filled: Tensor, volumes: Tensor, lesions: Tensor | None = None, lesion_weight: float = 0.0) -> Tensor:
    """Mean squared error over every voxel of the grid: masked, unmasked and background alike. (n, 1, i, j, k) each.

    Voxels of invented lesions (bool) count 1 + lesion_weight times: they are one in a hundred, and a network that
    copies them would hardly be told.
    """
    error = (filled - volumes).square()
    loss: Tensor = (error if lesions is None else error * (1 + lesion_weight * lesions)).mean()
    return loss
