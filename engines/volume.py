"""A scan as engines and viewer see it: voxels and where they lie in the patient."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engines.errors import BadVolume

# Above this ratio of largest to smallest spacing the thick axis is taken as the slice axis.
ANISOTROPIC = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """One three-dimensional picture on a regular grid.

    voxels: float32 (i, j, k), or (i, j, k, channel); a 2D picture is (i, j, 1).
    affine: float64 (4, 4), voxel index -> RAS+ millimetres (nibabel's convention).
    modality: "T1", "T2", "FLAIR", "PD", "CT", "CXR", "MR2D" ...; "" where unknown.
    uid: stable identity of the series; never a patient's name.
    calibrated: False where the pixel size is unknown, so that millimetres mean nothing.

    Raises BadVolume for other shapes or types or a singular affine.
    """

    voxels: NDArray[np.float32]
    affine: NDArray[np.float64]
    modality: str = ""
    uid: str = ""
    calibrated: bool = True

    def __post_init__(self) -> None:
        if self.voxels.ndim not in (3, 4) or 0 in self.voxels.shape:
            raise BadVolume(f"A volume needs three axes; this one has the shape {self.voxels.shape}.")
        if self.voxels.dtype != np.float32:
            raise BadVolume(f"Voxels must be float32, not {self.voxels.dtype}.")
        if self.affine.shape != (4, 4) or not np.all(np.isfinite(self.affine)):
            raise BadVolume("The affine must be a finite 4x4 matrix.")
        if abs(np.linalg.det(self.affine[:3, :3])) < 1e-9:
            raise BadVolume("The affine is singular: two voxel axes point the same way.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along (i, j, k)."""
        i, j, k = self.voxels.shape[:3]
        return i, j, k

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Voxel size along (i, j, k) in millimetres."""
        spacing: NDArray[np.float64] = np.linalg.norm(self.affine[:3, :3], axis=0)
        return spacing

    @property
    def is_picture(self) -> bool:
        """True for a single 2D picture (a radiograph, a photograph)."""
        return 1 in self.shape

    @property
    def slice_axis(self) -> int:
        """The voxel axis whose slices are scored: the thick axis, else the one nearest to superior-inferior."""
        if self.is_picture:
            return self.shape.index(1)
        spacing = self.spacing_mm
        if spacing.max() / spacing.min() > ANISOTROPIC:
            return int(spacing.argmax())
        return int(np.abs(self.affine[2, :3] / spacing).argmax())

    def with_voxels(self, voxels: NDArray[np.float32]) -> Volume:
        """Other values on the same grid."""
        return replace(self, voxels=voxels)
