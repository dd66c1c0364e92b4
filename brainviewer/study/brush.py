"""The brush under the reader's hand: discs and spheres in millimetres, guided by heatmap or intensity. numpy only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brainviewer.study.correction import Correction
from brainviewer.study.mask_edit import Box, Edit, Mask, box_of

Guide = Callable[[Box], NDArray[np.bool_]]
"""Voxels of a box that may be painted."""

# How far from the middle of the tissue under the brush, in its own spread, a voxel still counts as the same tissue.
ALIKE_SPREADS = 2.5
# Where the brush began on perfectly even tissue, this part of the volume's range is its spread.
LEAST_SPREAD = 0.02


def near_segment(
    shape: tuple[int, ...],
    affine: NDArray[np.float64],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    radius_mm: float,
    axis: int | None = None,
) -> tuple[Box, NDArray[np.bool_]] | None:
    """Voxels within a radius of the way from start to end (continuous voxel indices), as a box and what of it.

    axis: paint only the slice of `start` along this voxel axis (a disc); None paints all around (a sphere). The voxel
    under the end is always among them. None where the brush lies outside the volume.
    """
    axes = [n for n in range(3) if n != axis]
    metric = (affine[:3, :3].T @ affine[:3, :3])[np.ix_(axes, axes)]
    # How far a ball of the radius reaches along each voxel axis.
    reach = radius_mm * np.sqrt(np.diag(np.linalg.inv(metric)))
    bounds = [(0, 0)] * 3
    for n, far in zip(axes, reach, strict=True):
        low, high = min(start[n], end[n]) - far, max(start[n], end[n]) + far
        low, high = min(low, np.floor(end[n] + 0.5)), max(high, np.floor(end[n] + 0.5))
        bounds[n] = (max(int(np.ceil(low)), 0), min(int(np.floor(high)) + 1, shape[n]))
    if axis is not None:
        here = int(np.floor(start[axis] + 0.5))
        bounds[axis] = (max(here, 0), min(here + 1, shape[axis]))
    if any(low >= high for low, high in bounds):
        return None
    box = box_of(bounds)
    inside = _distance_squared(box, axes, metric, start, end) <= radius_mm**2
    under = [int(np.floor(value + 0.5)) - low for value, (low, _) in zip(end, bounds, strict=True)]
    if axis is not None:
        under[axis] = 0
    if all(0 <= at < size for at, size in zip(under, box.shape, strict=True)):
        inside[tuple(under)] = True
    return box, inside


def _distance_squared(
    box: Box, axes: list[int], metric: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Squared distance (mm) of each voxel of a box from the segment, measured along `axes`."""
    grids = np.ogrid[box.slices]
    offsets = [grids[n] - start[n] for n in axes]
    along = np.array([end[n] - start[n] for n in axes])
    length = float(along @ metric @ along)
    squared: Any = np.zeros(box.shape)
    for a, first in enumerate(offsets):
        for b, second in enumerate(offsets):
            if metric[a, b]:
                squared = squared + metric[a, b] * first * second
    if length == 0.0:
        return np.asarray(squared)
    toward = metric @ along
    product: Any = sum(offset * part for offset, part in zip(offsets, toward, strict=True))
    part = np.clip(product / length, 0.0, 1.0)
    return np.asarray(squared - 2 * part * product + part * part * length)


class Stroke:
    """From pressing to releasing the button: one step of undo, painted as the hand moves.

    value: 1 paints, 0 erases. axis: the voxel axis whose slice is painted, None for a sphere.
    """

    def __init__(
        self,
        correction: Correction,
        affine: NDArray[np.float64],
        value: int,
        radius_mm: float,
        axis: int | None = None,
        guide: Guide | None = None,
    ) -> None:
        self._correction, self._affine, self._value = correction, affine, value
        self._radius_mm, self._axis, self._guide = radius_mm, axis, guide
        self._last: NDArray[np.float64] | None = None
        self._pieces: list[tuple[Box, NDArray[np.bool_]]] = []

    def to(self, voxel: ArrayLike) -> Box | None:
        """Paint on to a place (continuous voxel index); returns the box in which voxels flipped."""
        end = np.asarray(voxel, dtype=np.float64)
        start = self._last if self._last is not None else end
        self._last = end
        mask: Mask = self._correction.mask
        found = near_segment(mask.shape, self._affine, start, end, self._radius_mm, self._axis)
        if found is None:
            return None
        box, inside = found
        flipped = inside & (mask[box.slices] != self._value)
        if self._guide is not None and flipped.any():
            flipped &= self._guide(box)
        if not flipped.any():
            return None
        mask[box.slices] ^= flipped
        self._pieces.append((box, flipped))
        return box

    def finish(self) -> Edit | None:
        """The stroke as one step, noted in the correction; None where it changed nothing."""
        if not self._pieces:
            return None
        around = self._pieces[0][0]
        for box, _ in self._pieces[1:]:
            around = around.joined(box)
        flipped = np.zeros(around.shape, np.bool_)
        for box, piece in self._pieces:
            flipped[box.within(around)] ^= piece
        self._pieces = []
        edit = self._correction.flipped("Brush" if self._value else "Eraser", around, flipped)
        if edit is not None:
            self._correction.add(edit)
        return edit

    def drop(self) -> Box | None:
        """Take back what was painted so far, as if it had not begun; returns where."""
        around = None
        for box, piece in self._pieces:
            self._correction.mask[box.slices] ^= piece
            around = box if around is None else around.joined(box)
        self._pieces = []
        return around


def above(percentiles: NDArray[np.float32], percentile: float) -> Guide:
    """Only where a heatmap's healthy percentile is higher."""
    return lambda box: percentiles[box.slices] > percentile


def alike(voxels: NDArray[np.float32], affine: NDArray[np.float64], voxel: ArrayLike, radius_mm: float) -> Guide:
    """Only where the intensity is like that under the brush where the stroke begins."""
    grey = voxels if voxels.ndim == 3 else voxels[..., 0]
    at = np.asarray(voxel, dtype=np.float64)
    found = near_segment(grey.shape, affine, at, at, radius_mm / 2, _thickest(affine))
    if found is None:
        return lambda box: np.ones(box.shape, np.bool_)
    values = grey[found[0].slices][found[1]]
    middle = float(np.median(values))
    # 1.4826 times the median deviation is the standard deviation of a normal distribution, untouched by outliers.
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    coarse = grey[tuple(slice(None, None, max(1, size // 32)) for size in grey.shape)]
    spread = max(spread, LEAST_SPREAD * float(np.ptp(coarse)))

    def same(box: Box) -> NDArray[np.bool_]:
        near: NDArray[np.bool_] = np.abs(grey[box.slices] - middle) <= ALIKE_SPREADS * spread
        return near

    return same


def _thickest(affine: NDArray[np.float64]) -> int:
    return int(np.linalg.norm(affine[:3, :3], axis=0).argmax())
