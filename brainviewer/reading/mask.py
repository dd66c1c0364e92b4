"""Masks drawn elsewhere, brought onto the grid of a series in patient space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainviewer.reading import nifti
from brainviewer.reading.loading import zeros
from brainviewer.study import Series
from engines import BadInput, Report, silent

HALF = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class DrawnMask:
    """A mask from a file. voxels: uint8 (i, j, k), 0 or 1, on the grid that was asked for. ml: volume of it."""

    title: str
    voxels: NDArray[np.uint8]
    ml: float


def read_masks(path: Path, onto: Series, report: Report = silent) -> list[DrawnMask]:
    """Every mask of a NIfTI file, or every segment of a DICOM segmentation, on a series' own grid.

    What is not 0 in a label map is one mask; of a fractional segment, what is above one half. Raises BadInput where
    the file holds no mask, or none of it lies inside the series.
    """
    report(0, 1, "Reading the mask")
    found = _of_nifti(path, onto, report) if nifti.is_nifti(path) else _of_dicom(path, onto)
    if not any(mask.voxels.any() for mask in found):
        raise BadInput(
            f"No part of {path.name} lies inside the series in view.", "It may belong to another scan, or be empty."
        )
    return found


def _of_nifti(path: Path, onto: Series, report: Report) -> list[DrawnMask]:
    found = []
    for series in nifti.scan(path):
        native = nifti.load(series, report, zeros).volume
        found.append(placed(series.title, native.voxels > 0, native.affine, onto.shape, np.array(onto.affine)))
    return found


def _of_dicom(path: Path, onto: Series) -> list[DrawnMask]:
    from brainviewer.reading.dicom_layers import is_layer, read_layers

    refused = BadInput(f"{path.name} is no mask that can be read.", "Choose a NIfTI file or a DICOM segmentation.")
    if not path.is_file() or not is_layer(path):
        raise refused
    layers = [layer for layer in read_layers(path, onto) if layer.kind != "map"]
    if not layers:
        raise refused
    voxel_ml = abs(np.linalg.det(np.array(onto.affine)[:3, :3])) / 1000
    masks = [(layer.title, (layer.values > HALF).astype(np.uint8)) for layer in layers]
    return [DrawnMask(title, voxels, float(voxels.sum() * voxel_ml)) for title, voxels in masks]


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
