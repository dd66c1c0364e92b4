"""Masks drawn elsewhere, brought onto the grid of a series in patient space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainviewer.reading import nifti
from brainviewer.reading.loading import zeros
from engines import BadInput, Report, silent


@dataclass(frozen=True, slots=True, eq=False)
class DrawnMask:
    """A mask from a file. voxels: uint8 (i, j, k), 0 or 1, on the grid that was asked for. ml: volume in the file."""

    title: str
    voxels: NDArray[np.uint8]
    ml: float


def read_masks(
    path: Path, shape: tuple[int, int, int], affine: NDArray[np.float64], report: Report = silent
) -> list[DrawnMask]:
    """Every mask of a file on another grid (affine: voxel -> RAS+ mm); what is not 0 in a label map is one mask.

    Raises BadInput where the file holds no mask, or none of it lies inside that grid.
    """
    if not nifti.is_nifti(path):
        raise BadInput(f"{path.name} is no mask that can be read.", "Choose a NIfTI file (.nii, .nii.gz).")
    report(0, 1, "Reading the mask")
    found = []
    for series in nifti.scan(path):
        native = nifti.load(series, report, zeros).volume
        found.append(placed(series.title, native.voxels > 0, native.affine, shape, affine))
    if not any(mask.voxels.any() for mask in found):
        raise BadInput(
            f"No part of {path.name} lies inside the series in view.", "It may belong to another scan, or be empty."
        )
    return found


def placed(
    title: str,
    drawn: NDArray[np.bool_],
    affine: NDArray[np.float64],
    shape: tuple[int, int, int],
    target: NDArray[np.float64],
) -> DrawnMask:
    """A mask (bool, on the grid of `affine`) on the grid of `target`, nearest voxel; both voxel -> RAS+ mm."""
    from scipy import ndimage

    ml = float(drawn.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000)
    voxels = drawn.astype(np.uint8)
    if drawn.shape != shape or not np.allclose(affine, target, atol=1e-3):
        step = np.linalg.solve(affine, target)
        voxels = ndimage.affine_transform(voxels, step[:3, :3], step[:3, 3], shape, order=0, prefilter=False)
    return DrawnMask(title, voxels, ml)
