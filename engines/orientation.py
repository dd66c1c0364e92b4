"""Turning a volume's array to patient axes and back: one place for all 48 axis orders."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

Orientation = NDArray[np.float64]
"""nibabel's (3, 2): for each voxel axis the patient axis it runs along (0 R, 1 A, 2 S) and its direction."""


def orientation_of(affine: NDArray[np.float64]) -> Orientation:
    """The nearest patient axis of each voxel axis."""
    found: Orientation = nib.orientations.io_orientation(affine)
    return found


def in_patient_order(values: NDArray[Any], orientation: Orientation) -> NDArray[Any]:
    """Values (3,) given along voxel axes, put in the order R, A, S."""
    turned = np.empty_like(values)
    turned[orientation[:, 0].astype(int)] = values
    return turned


def to_pictures(array: NDArray[Any], orientation: Orientation, axis: int) -> NDArray[Any]:
    """(i, j, k) -> (slice, row, column) across patient axis `axis`.

    Slices run towards the positive end of that axis; rows start at the anterior (axial) or superior end, columns at
    the patient's right (axial, coronal) or anterior (sagittal) end.
    """
    turned = np.moveaxis(nib.orientations.apply_orientation(array, orientation), axis, 0)[:, ::-1, ::-1]
    return np.ascontiguousarray(turned.transpose(0, 2, 1))


def from_pictures(stack: NDArray[Any], orientation: Orientation, axis: int) -> NDArray[Any]:
    """The inverse of to_pictures."""
    turned = np.moveaxis(stack.transpose(0, 2, 1)[:, ::-1, ::-1], 0, axis)
    inverse = nib.orientations.ornt_transform(np.array([[0, 1], [1, 1], [2, 1]]), orientation)
    return np.ascontiguousarray(nib.orientations.apply_orientation(turned, inverse))


def picture_shape(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    """Shape (slices, rows, columns) of to_pictures for a volume of this shape in patient order."""
    columns, rows = (size for patient_axis, size in enumerate(shape) if patient_axis != axis)
    return shape[axis], rows, columns
