"""The mask being corrected, on one view: laid over the picture by Qt, so that a stroke renews only its own box."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QColor, QImage, QPainter

from brainviewer.render.geometry import PlaneGeometry
from brainviewer.render.layers import take
from brainviewer.study.mask_edit import Box

# The outline must be seen on tissue of any grey, the tissue must be seen through the inside.
_EDGE, _INSIDE = 235, 70


class Ink:
    """A slice of a mask as a picture with transparency, one pixel a voxel; nearest voxel, never smoothed.

    mask: uint8 (i, j, k), changed in place by whoever corrects it. colour: "#rrggbb".
    """

    def __init__(self, mask: NDArray[np.uint8], colour: str) -> None:
        self.mask = mask
        self._edge, self._inside = (_premultiplied(colour, alpha) for alpha in (_EDGE, _INSIDE))
        self._key: tuple[int, int] | None = None
        self._pixels = np.zeros((1, 1), np.uint32)
        self._image = QImage()

    def cut(self, geometry: PlaneGeometry, index: int) -> None:
        """Show another slice; cheap where it is the one on show."""
        key = (geometry.slices, index)
        if key == self._key:
            return
        self._key = key
        self._pixels = self._coloured(take(self.mask, geometry, index) > 0)
        rows, columns = self._pixels.shape
        # QImage does not copy: the array lives as long as this object.
        self._image = QImage(self._pixels.data, columns, rows, 4 * columns, QImage.Format.Format_ARGB32_Premultiplied)

    def touch(self, geometry: PlaneGeometry, index: int, box: Box) -> QRectF | None:
        """Voxels of a box have changed: renew that part; returns it in voxels (across, up), None where unseen."""
        low, high = box.axis(geometry.slices)
        if self._key != (geometry.slices, index) or not low <= index < high:
            return None
        # A voxel that goes turns its neighbours into edge, and those need their own neighbours to tell.
        (across0, across1), (up0, up1) = (
            _wider(box.axis(axis), geometry.shape[axis], 1) for axis in (geometry.across, geometry.up)
        )
        bounds = [(0, 0)] * 3
        bounds[geometry.slices] = (index, index + 1)
        bounds[geometry.across] = _wider((across0, across1), geometry.shape[geometry.across], 1)
        bounds[geometry.up] = _wider((up0, up1), geometry.shape[geometry.up], 1)
        part = self.mask[tuple(slice(*pair) for pair in bounds)].squeeze(axis=geometry.slices) > 0
        inside = part.T if geometry.across < geometry.up else part  # (up, across)
        coloured = self._coloured(inside)
        left, top = across0 - bounds[geometry.across][0], up0 - bounds[geometry.up][0]
        self._pixels[up0:up1, across0:across1] = coloured[top : top + up1 - up0, left : left + across1 - across0]
        return QRectF(across0 - 0.5, up0 - 0.5, across1 - across0, up1 - up0)

    def forget(self) -> None:
        """Voxels anywhere may have changed."""
        self._key = None

    def paint(self, painter: QPainter) -> None:
        """Paint the slice that was cut; the painter counts voxels (across, up)."""
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        painter.drawImage(QPointF(-0.5, -0.5), self._image)

    def _coloured(self, inside: NDArray[np.bool_]) -> NDArray[np.uint32]:
        """Colours of a part of the slice, uint32 (up, across); at its border neighbours count as inside."""
        core = inside.copy()
        core[1:] &= inside[:-1]
        core[:-1] &= inside[1:]
        core[:, 1:] &= inside[:, :-1]
        core[:, :-1] &= inside[:, 1:]
        pixels = np.where(core, self._inside, np.uint32(0))
        pixels[inside & ~core] = self._edge
        return np.ascontiguousarray(pixels)


def _wider(bounds: tuple[int, int], size: int, by: int) -> tuple[int, int]:
    return max(bounds[0] - by, 0), min(bounds[1] + by, size)


def _premultiplied(colour: str, alpha: int) -> np.uint32:
    """A colour as Qt's ARGB32_Premultiplied."""
    full = QColor(colour)
    red, green, blue = (part * alpha // 255 for part in (full.red(), full.green(), full.blue()))
    return np.uint32(alpha << 24 | red << 16 | green << 8 | blue)
