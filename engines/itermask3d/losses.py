"""IterMask3D's loss."""

from __future__ import annotations

from torch import Tensor


def filling_loss(filled: Tensor, volumes: Tensor) -> Tensor:
    """Mean squared error over every voxel of the grid: masked, unmasked and background alike. (n, 1, i, j, k) each."""
    loss: Tensor = (filled - volumes).square().mean()
    return loss
