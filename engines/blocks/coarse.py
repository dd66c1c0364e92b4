"""A volume seen at a common voxel size, and everything found there brought back to the volume's own grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from engines.volume import Volume

# An axis this much finer than wanted is averaged; nearly fitting ones stay as they are.
FINER = 0.75

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Coarse:
    """A volume with voxels of about the wanted size, over exactly the extent of the original.

    shape: of the original. axis: slice axis of both.
    """

    volume: Volume
    shape: tuple[int, int, int]
    axis: int

    def to_native(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values on the coarse grid, linearly interpolated to the original one."""
        if values.shape == self.shape:
            return values
        tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32))[None, None]
        grown = functional.interpolate(tensor, self.shape, mode="trilinear", align_corners=False)
        native: NDArray[np.float32] = np.asarray(grown[0, 0])
        return native

    def region(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask on the coarse grid, brought to the original one."""
        if mask.shape == self.shape:
            return mask
        return self.to_native(mask.astype(np.float32)) > 0.5

    def per_slice(self, values: NDArray[Number]) -> NDArray[Number]:
        """A value a coarse slice -> a value a slice of the original."""
        count = self.shape[self.axis]
        chosen: NDArray[Number] = values[((np.arange(count) + 0.5) * len(values) / count).astype(int)]
        return chosen


def coarsened(volume: Volume, spacing_mm: float) -> Coarse:
    """The volume with axes finer than spacing_mm averaged to it; pictures and coarser axes stay as they are.

    Scanners differ in sharpness; a network that learned from 2 mm voxels takes the detail of 1 mm ones for unusual.
    """
    axis, shape = volume.slice_axis, volume.shape
    voxels = volume.voxels if volume.voxels.ndim == 3 else volume.voxels.mean(-1)
    whole = replace(volume, voxels=voxels)
    fine = volume.spacing_mm < FINER * spacing_mm
    if volume.is_picture or not volume.calibrated or not fine.any():
        return Coarse(whole, shape, axis)
    wanted = tuple(
        max(2, round(size * mm / spacing_mm)) if smaller else size
        for size, mm, smaller in zip(shape, volume.spacing_mm, fine, strict=True)
    )
    tensor = torch.from_numpy(np.nan_to_num(voxels, posinf=0, neginf=0))[None, None]
    averaged = functional.interpolate(tensor, wanted, mode="area")[0, 0].numpy()
    step = np.array(shape) / np.array(wanted)
    affine = volume.affine.copy()
    affine[:3, :3] = volume.affine[:3, :3] * step
    affine[:3, 3] = volume.affine[:3, 3] + volume.affine[:3, :3] @ ((step - 1) / 2)
    small = replace(whole, voxels=averaged, affine=affine)
    # Averaging can make a thick axis the least thick one; slices are then better looked at as they are.
    return Coarse(small if small.slice_axis == axis else whole, shape, axis)
