"""From a volume to the square slices a 2D network sees, and every map back onto the volume's own grid.

Steps: turn to patient axes, find the foreground, crop a square in millimetres, resize, normalise. Each is recorded in
SliceStack, so that its inverse needs no second guess.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from engines.brain_mask import brain_mask, head_mask
from engines.contract import Report, silent
from engines.errors import BadVolume
from engines.orientation import from_pictures, in_patient_order, orientation_of, picture_shape, to_pictures
from engines.volume import Volume

FLOOR = -0.98  # tanh cannot reach -1, so the background lies a little above
TISSUE_LEVEL = 0.4  # median tissue on the 0..1 scale: 2.5 times the median is white
FRAME_MM = 240.0  # what a picture of a head without a pixel size is taken to show
LEAST_AREA = 0.05  # slices with less foreground than this share of the frame are not looked at

Normalisation = Literal["tissue", "range"]


@dataclass(frozen=True, slots=True, eq=False)
class SliceStack:
    """The slices of one volume, ready for a 2D network.

    pictures: float32 (n, S, S) in FLOOR..-FLOOR, row 0 anterior (or superior), column 0 the patient's right (or
    anterior), FLOOR outside the foreground. foreground: bool (n, S, S). heights: float32 (n,), 0 lowest .. 1 highest
    foreground slice. indices: int (n,) slice numbers along `axis` of the volume. region: bool (i, j, k) foreground on
    the volume's grid. pixel_mm: height of a pixel of the pictures, as far as the volume's voxel size is known.
    steps: what was done, in words.
    """

    pictures: NDArray[np.float32]
    foreground: NDArray[np.bool_]
    heights: NDArray[np.float32]
    indices: NDArray[np.intp]
    region: NDArray[np.bool_]
    axis: int
    slices: int
    pixel_mm: float
    steps: tuple[str, ...]
    _ornt: NDArray[np.float64]
    _canonical_axis: int
    _canonical_shape: tuple[int, int, int]
    _box: tuple[int, int, int, int]

    def to_volume(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps (n, S, S) resized, pasted and turned back: float32 (i, j, k) on the volume's grid, 0 elsewhere."""
        top, left, height, width = self._box
        full = functional.interpolate(
            torch.from_numpy(np.ascontiguousarray(maps))[:, None], (height, width), mode="bilinear"
        )[:, 0].numpy()
        stack = np.zeros(picture_shape(self._canonical_shape, self._canonical_axis), np.float32)
        rows, cols = stack.shape[1:]
        r0, c0, r1, c1 = max(top, 0), max(left, 0), min(top + height, rows), min(left + width, cols)
        order = self._canonical_order(self.indices)
        stack[order, r0:r1, c0:c1] = full[:, r0 - top : r1 - top, c0 - left : c1 - left]
        return from_pictures(stack, self._ornt, self._canonical_axis)

    def from_volume(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Values (i, j, k) on the volume's grid as these slices show them: float32 (n, S, S), 0 outside the volume."""
        stack = to_pictures(values.astype(np.float32), self._ornt, self._canonical_axis)
        small = _resized(np.ascontiguousarray(stack), self._box, self.pictures.shape[1])
        return small[self._canonical_order(self.indices)]

    @property
    def columns_run_left_right(self) -> bool:
        """Whether a slice shows both halves of a head side by side: axial and coronal ones do."""
        return self._canonical_axis != 0

    def only(self, wanted: Container[int] | None) -> SliceStack:
        """The slices whose number along `axis` is wanted; None = all of them."""
        if wanted is None:
            return self
        keep = np.array([int(index) in wanted for index in self.indices], bool)
        return replace(
            self,
            pictures=self.pictures[keep],
            foreground=self.foreground[keep],
            heights=self.heights[keep],
            indices=self.indices[keep],
        )

    def per_slice(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """One value a prepared slice -> one value a volume slice along `axis`, NaN where not prepared."""
        out = np.full(self.slices, np.nan, np.float32)
        out[self.indices] = values
        return out

    def _canonical_order(self, indices: NDArray[np.intp]) -> NDArray[np.intp]:
        flipped = self._ornt[self.axis, 1] < 0
        return self.slices - 1 - indices if flipped else indices


def prepare_slices(
    volume: Volume,
    size: int,
    *,
    margin: float = 0.08,
    normalisation: Normalisation = "tissue",
    side_mm: float = 0.0,
    report: Report = silent,
) -> SliceStack:
    """Square slices (n, size, size) of a volume along its slice axis.

    margin: border around the foreground, as a share of its longer side; normalisation: "tissue" puts the median of the
    brain at TISSUE_LEVEL and blackens everything outside; "range" stretches each picture's own range (radiographs).
    side_mm: show a square of this side around the middle of the foreground instead, so that all brains have one scale
    whatever a mask adds at their border; 0, and volumes whose voxel size is unknown: the whole foreground.
    Raises BadVolume when there is nothing to see.
    """
    region, steps = _foreground(volume, normalisation, report)
    voxels = volume.voxels if volume.voxels.ndim == 3 else volume.voxels.mean(-1)
    ornt = orientation_of(volume.affine)
    axis = volume.slice_axis
    canonical_axis = int(ornt[axis, 0])
    stack = to_pictures(np.nan_to_num(voxels, posinf=0, neginf=0), ornt, canonical_axis)
    mask = to_pictures(region, ornt, canonical_axis)
    spacing = in_patient_order(volume.spacing_mm, ornt)
    col_mm, row_mm = np.delete(spacing, canonical_axis)
    framed = side_mm > 0 and volume.calibrated and not volume.is_picture
    box = _around_middle(mask, row_mm, col_mm, side_mm) if framed else _square(mask, row_mm, col_mm, margin)
    if normalisation == "tissue":
        scaled, said = _tissue_scale(stack, mask)
    else:
        scaled, said = _range_scale(stack), "each picture's own range to 0..1"
    pictures = _resized(scaled, box, size)
    small = _resized(mask.astype(np.float32), box, size) > 0.5
    enough = small.mean((1, 2)) > LEAST_AREA
    if not enough.any():
        raise BadVolume("No slice shows enough brain to look at.", "Check that this series is a scan of the head.")
    pictures = np.clip(2 * pictures[enough] - 1, FLOOR, -FLOOR)
    pictures[~small[enough]] = FLOOR
    order = np.flatnonzero(enough)
    slices = volume.shape[axis]
    indices = slices - 1 - order if ornt[axis, 1] < 0 else order
    low, high = order[0], order[-1]
    return SliceStack(
        pictures=pictures.astype(np.float32),
        foreground=small[enough],
        heights=((order - low) / max(1, high - low)).astype(np.float32),
        indices=indices,
        region=region,
        axis=axis,
        slices=slices,
        pixel_mm=float(box[2] * row_mm / size),
        steps=(*steps, f"slices along voxel axis {axis}", f"square crop to {size}x{size}", said),
        _ornt=ornt,
        _canonical_axis=canonical_axis,
        _canonical_shape=tuple(in_patient_order(np.array(volume.shape), ornt)),
        _box=box,
    )


def _foreground(
    volume: Volume, normalisation: Normalisation, report: Report
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    if normalisation == "range":
        return np.ones(volume.shape, bool), ("whole picture",)
    if volume.is_picture:
        axis = volume.slice_axis
        plane = np.moveaxis(volume.voxels if volume.voxels.ndim == 3 else volume.voxels.mean(-1), axis, 0)
        head = head_mask(np.nan_to_num(plane), FRAME_MM / max(plane.shape))
        return np.moveaxis(head, 0, axis), ("approximate head mask",)
    mask, stripped = brain_mask(volume, report)
    return mask, ("brain mask from the skull-stripped scan" if stripped else "approximate brain mask",)


def _square(mask: NDArray[np.bool_], row_mm: float, col_mm: float, margin: float) -> tuple[int, int, int, int]:
    """Top, left, height, width in voxels of the square (in mm) around the foreground; may reach over the border."""
    plane = np.any(mask, axis=0)
    if not plane.any():
        raise BadVolume("No brain was found in this volume.", "Check that this series is a scan of the head.")
    rows, cols = np.flatnonzero(plane.any(1)), np.flatnonzero(plane.any(0))
    side = max((rows[-1] - rows[0] + 1) * row_mm, (cols[-1] - cols[0] + 1) * col_mm)
    if not bool(np.all(mask)):
        side *= 1 + 2 * margin
    height, width = max(2, round(side / row_mm)), max(2, round(side / col_mm))
    top = round((rows[0] + rows[-1] + 1 - height) / 2)
    left = round((cols[0] + cols[-1] + 1 - width) / 2)
    return top, left, height, width


def _around_middle(mask: NDArray[np.bool_], row_mm: float, col_mm: float, side_mm: float) -> tuple[int, int, int, int]:
    """The same for a square of this side around the middle of mass of the foreground."""
    weight = mask.sum(0)
    if not weight.any():
        raise BadVolume("No brain was found in this volume.", "Check that this series is a scan of the head.")
    height, width = max(2, round(side_mm / row_mm)), max(2, round(side_mm / col_mm))
    row, col = (np.average(np.arange(n) + 0.5, weights=weight.sum(1 - axis)) for axis, n in enumerate(weight.shape))
    return round(float(row) - height / 2), round(float(col) - width / 2), height, width


def _resized(stack: NDArray[np.float32], box: tuple[int, int, int, int], size: int) -> NDArray[np.float32]:
    """Crop (padding with zeros) and resize with antialiasing: (slices, rows, cols) -> (slices, size, size)."""
    top, left, height, width = box
    rows, cols = stack.shape[1:]
    pads = (max(0, -left), max(0, left + width - cols), max(0, -top), max(0, top + height - rows))
    padded = functional.pad(torch.from_numpy(stack)[:, None], pads)
    top, left = max(0, top), max(0, left)
    cut = padded[:, :, top : top + height, left : left + width]
    return functional.interpolate(cut, (size, size), mode="bilinear", antialias=True)[:, 0].numpy()


def _tissue_scale(stack: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[NDArray[np.float32], str]:
    values = stack[mask]
    floor = min(0.0, float(np.percentile(values, 0.5)))
    median = float(np.median(values)) - floor
    if median <= 0:
        raise BadVolume("The brain is uniformly dark in this volume.", "Choose another series.")
    scaled = np.where(mask, np.clip(TISSUE_LEVEL * (stack - floor) / median, 0, 1), 0).astype(np.float32)
    return scaled, f"median tissue {median:.4g} to {TISSUE_LEVEL}"


def _range_scale(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    low = stack.min((1, 2), keepdims=True)
    width = stack.max((1, 2), keepdims=True) - low
    if not (width > 0).all():
        raise BadVolume("This picture has one grey level only.", "Choose another picture.")
    scaled: NDArray[np.float32] = (stack - low) / width
    return scaled
