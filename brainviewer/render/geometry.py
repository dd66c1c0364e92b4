"""Which voxel axes make up the axial, sagittal and coronal views, and how they lie on the screen."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brainviewer.study.orientation import is_oriented
from engines import Volume

Plane = Literal["axial", "sagittal", "coronal"]
PLANES: tuple[Plane, ...] = get_args(Plane)

# Patient axes of each view, as RAS axis (0 = R-L, 1 = P-A, 2 = I-S): slices run along the first,
# the second goes to the right of the screen, the third up.
_PATIENT_AXES: dict[Plane, tuple[int, int, int]] = {"axial": (2, 0, 1), "sagittal": (0, 1, 2), "coronal": (1, 0, 2)}


def patient_axes(affine: NDArray[np.float64]) -> tuple[int, int, int]:
    """The voxel axes nearest to R-L, P-A and I-S, chosen together so that each is used once."""
    directions = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    best = max(permutations(range(3)), key=lambda axes: float(sum(directions[i, axis] for i, axis in enumerate(axes))))
    return best[0], best[1], best[2]


@dataclass(frozen=True, slots=True, eq=False)
class PlaneGeometry:
    """How the slices of one view lie in the patient and on the screen.

    slices, across, up: voxel axes along which slices are numbered, and that run (nearly) across and up the screen.
    shape: voxels along (i, j, k). affine: voxel -> RAS+ mm.
    screen: float64 (3, 3), rows are the unit vectors to the right, up, and out of the screen towards the reader.
    """

    plane: Plane
    slices: int
    across: int
    up: int
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    screen: NDArray[np.float64]

    @property
    def count(self) -> int:
        """Number of slices."""
        return self.shape[self.slices]

    def voxel(self, position_mm: ArrayLike) -> NDArray[np.float64]:
        """Continuous voxel index (3,) of a position, brought into the volume."""
        index = np.linalg.solve(self.affine[:3, :3], np.asarray(position_mm) - self.affine[:3, 3])
        return np.clip(index, 0, np.array(self.shape) - 1)

    def slice_index(self, position_mm: ArrayLike) -> int:
        """The slice nearest to a position."""
        return int(np.floor(self.voxel(position_mm)[self.slices] + 0.5))

    def position(self, voxel: ArrayLike) -> NDArray[np.float64]:
        """RAS+ mm (3,) of a continuous voxel index."""
        return self.affine[:3, :3] @ np.asarray(voxel, dtype=np.float64) + self.affine[:3, 3]

    def slice_to_patient(self, index: int) -> NDArray[np.float64]:
        """4x4: (across, up, 0) in voxels of slice `index` -> RAS+ mm; the third axis is 1 mm towards the reader."""
        matrix = np.eye(4)
        matrix[:3, 0] = self.affine[:3, self.across]
        matrix[:3, 1] = self.affine[:3, self.up]
        matrix[:3, 2] = self.screen[2]
        matrix[:3, 3] = self.affine[:3, 3] + index * self.affine[:3, self.slices]
        return matrix

    def extent_mm(self) -> tuple[float, float, NDArray[np.float64]]:
        """Width and height that the volume takes on the screen, and its centre (RAS+ mm)."""
        corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
        at = (corners * self.shape - 0.5) @ self.affine[:3, :3].T + self.affine[:3, 3]
        on_screen = at @ self.screen[:2].T  # (8 corners, right/up)
        width, height = np.ptp(on_screen, axis=0)
        return float(width), float(height), at.mean(axis=0)


def plane_geometry(volume: Volume, plane: Plane, radiological: bool = True) -> PlaneGeometry:
    """The view of a volume along its own slices that is nearest to an anatomical plane.

    Nothing is resampled: an oblique or tilted acquisition is shown as it was acquired, with letters that say so.
    Sagittal views have anterior on the left in both conventions.
    """
    voxel_axes = patient_axes(volume.affine)
    slices, across, up = (voxel_axes[axis] for axis in _PATIENT_AXES[plane])
    flipped = radiological or plane == "sagittal" or not is_oriented(volume)
    right = _pointing(volume.affine[:3, across], _PATIENT_AXES[plane][1], -1 if flipped else 1)
    upward = _pointing(volume.affine[:3, up], _PATIENT_AXES[plane][2], 1)
    # A sheared volume (gantry tilt) has no right angle between its axes; the screen has.
    upward = upward - (upward @ right) * right
    upward /= np.linalg.norm(upward)
    screen = np.stack([right, upward, np.cross(right, upward)])
    return PlaneGeometry(plane, slices, across, up, volume.shape, volume.affine, screen)


def _pointing(column: NDArray[np.float64], patient_axis: int, sign: int) -> NDArray[np.float64]:
    """A voxel axis as a unit vector, turned so that it runs along or against a patient axis."""
    unit: NDArray[np.float64] = column / np.linalg.norm(column)
    return unit if unit[patient_axis] * sign >= 0 else -unit


def picture_plane(volume: Volume) -> Plane | None:
    """The one view that a 2D picture is shown in; None for a real volume."""
    if not volume.is_picture:
        return None
    patient_axis = patient_axes(volume.affine).index(volume.slice_axis)
    return next(plane for plane in PLANES if _PATIENT_AXES[plane][0] == patient_axis)


def plane_across(volume: Volume) -> Plane:
    """The plane whose slices run along the slice axis."""
    planes: dict[int, Plane] = {0: "sagittal", 1: "coronal", 2: "axial"}
    return planes[patient_axes(volume.affine).index(volume.slice_axis)]
