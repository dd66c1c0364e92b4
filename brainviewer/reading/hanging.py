"""A small picture of a series for the list: its middle slice, windowed, as a radiologist would hang it."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from brainviewer.reading import dicom, nifti, picture
from brainviewer.reading.loading import zeros
from brainviewer.study import Series
from engines import silent

# Share of the grey values left out at either end where the file states no window.
TAILS = (0.5, 99.5)
# For a slice across x, y or z: which way of patient space (axis, sign) runs right and down the screen.
HANGING = {0: ((1, -1), (2, -1)), 1: ((0, -1), (2, -1)), 2: ((0, -1), (1, -1))}


def thumbnail(series: Series, size: int = 96) -> NDArray[np.uint8]:
    """Grey picture (height, width), at most size pixels either way, in the radiological convention."""
    plane, affine, axis = _middle_slice(series)
    hung, aspect = _hang(plane, affine, axis)
    grey = _grey(hung, series.window)
    height, width = grey.shape[0] * aspect[0], grey.shape[1] * aspect[1]
    scale = size / max(height, width)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(grey).resize(shape, Image.Resampling.BILINEAR))


def _middle_slice(series: Series) -> tuple[NDArray[np.float32], NDArray[np.float64], int]:
    """The slice, the affine, and the voxel axis it cuts. A DICOM series decodes one frame only."""
    affine = np.asarray(series.affine, float)
    if series.format == "dicom":
        entries = len(cast(tuple[int, ...], series.options["frames"]))
        return dicom.picture(series, entries // 2).T, affine, 2
    module = nifti if series.format == "nifti" else picture
    voxels = module.load(series, silent, zeros).volume.voxels
    axis = 2 if series.is_picture else int(np.abs(affine[2, :3] / np.linalg.norm(affine[:3, :3], axis=0)).argmax())
    return voxels.take(voxels.shape[axis] // 2, axis), affine, axis


def _hang(
    plane: NDArray[np.float32], affine: NDArray[np.float64], axis: int
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """(plane turned to the screen, (millimetres a row, millimetres a column))."""
    rest = [n for n in range(3) if n != axis]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    unit = affine[:3, :3] / spacing
    (right, right_sign), (down, down_sign) = HANGING[int(np.abs(np.cross(unit[:, rest[0]], unit[:, rest[1]])).argmax())]
    # Of the two voxel axes of the plane, the one nearer to the way down the screen becomes the rows.
    if abs(unit[down, rest[0]]) > abs(unit[down, rest[1]]):
        rows, columns, turned = rest[0], rest[1], plane
    else:
        rows, columns, turned = rest[1], rest[0], plane.T
    if unit[down, rows] * down_sign < 0:
        turned = turned[::-1]
    if unit[right, columns] * right_sign < 0:
        turned = turned[:, ::-1]
    return turned, (float(spacing[rows]), float(spacing[columns]))


def _grey(values: NDArray[np.float32], window: tuple[float, float] | None) -> NDArray[np.uint8]:
    low, high = np.percentile(values, TAILS)
    if window is not None:
        low, high = window[1] - window[0] / 2, window[1] + window[0] / 2
    grey = np.clip((values - low) / max(high - low, 1e-6), 0, 1) * 255
    return np.asarray(grey, np.uint8)
