"""Figures of a report, painted by Qt on paper, in an SVG or in a picture; lines and words stay vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QImage, QPainter, QPainterPath, QPen, QPolygonF, QTransform

from brainviewer.render import auto_window
from brainviewer.render.annotations import Annotation, Annotator, ColourBar, view_font
from brainviewer.render.contours import contours
from brainviewer.render.geometry import PLANES, PlaneGeometry, picture_plane, plane_geometry
from brainviewer.render.layers import Layers, Look, SliceLayers
from brainviewer.render.overlay import Heatmap
from brainviewer.study.orientation import describe, is_oriented, letters
from brainviewer.study.percentile_scale import tail

if TYPE_CHECKING:
    from brainviewer.study.material import Material

GAP = 6.0
VIEW = 300.0  # logical pixels a side
BAR_ROOM = 66.0
# Voxels are enlarged before the printer sees them: viewers of PDF differ in how they smooth.
SMOOTH_PIXELS = 600
# Okabe-Ito: told apart by colour-blind readers; with a dash each, told apart in grey too.
CURVES: tuple[tuple[str, Qt.PenStyle], ...] = (
    ("#d55e00", Qt.PenStyle.SolidLine),
    ("#0072b2", Qt.PenStyle.DashLine),
    ("#009e73", Qt.PenStyle.DotLine),
    ("#cc79a7", Qt.PenStyle.DashDotLine),
    ("#56b4e9", Qt.PenStyle.DashDotDotLine),
    ("#e69f00", Qt.PenStyle.SolidLine),
)
TICKS = (0.0, 50.0, 90.0, 99.0, 99.9)
TOP = 3.15
_ACROSS = {"axial": 2, "sagittal": 0, "coronal": 1}


class Views:
    """The three planes of one run side by side, with heatmap, contour of the mask and colour bar.

    palette: of the heatmap. fill: False shows the contour only.
    """

    def __init__(self, material: Material, palette: str = "inferno", fill: bool = True) -> None:
        self._material = material
        volume = material.volume
        heatmap = Heatmap(material.percentiles, material.result.region)
        window, level = _window(material)
        self._look = Look(window, level, heatmap=fill, palette=palette, threshold=material.threshold)
        alone = picture_plane(volume)
        self._layers = Layers(volume, heatmap)
        self._geometries = [plane_geometry(volume, plane) for plane in ([alone] if alone else PLANES)]

    @property
    def size(self) -> QSizeF:
        """Logical pixels."""
        count = len(self._geometries)
        return QSizeF(count * VIEW + (count - 1) * GAP + BAR_ROOM, VIEW)

    def paint(self, painter: QPainter, position_mm: Sequence[float]) -> None:
        """All planes through a place; the painter counts logical pixels."""
        painter.fillRect(QRectF(QPointF(0, 0), self.size), QColor("#000000"))
        spans = [geometry.extent_mm()[:2] for geometry in self._geometries]
        mm_per_pixel = max(max(span) for span in spans) / (VIEW * 0.94)
        for number, geometry in enumerate(self._geometries):
            painter.save()
            painter.translate(number * (VIEW + GAP), 0)
            self.paint_plane(painter, geometry, geometry.slice_index(position_mm), mm_per_pixel, position_mm)
            painter.restore()
        painter.translate(self.size.width() - BAR_ROOM, 0)
        self.paint_bar(painter)

    def paint_bar(self, painter: QPainter) -> None:
        """The colour bar, BAR_ROOM wide and VIEW high."""
        bar = Annotation(self._geometries[0].plane, colour_bar=ColourBar(self._look.palette, self._look.threshold))
        Annotator(painter, (BAR_ROOM, VIEW)).paint(bar)

    def paint_plane(
        self,
        painter: QPainter,
        geometry: PlaneGeometry,
        index: int,
        mm_per_pixel: float,
        position_mm: Sequence[float] | None = None,
    ) -> None:
        """One slice in a square of VIEW pixels."""
        painter.setClipRect(QRectF(0, 0, VIEW, VIEW), Qt.ClipOperation.IntersectClip)
        to_pixels = _to_pixels(geometry, index, mm_per_pixel)
        pixels = SliceLayers(self._layers, geometry).picture(index, self._look)
        _draw(painter, pixels, to_pixels)
        self._contour(painter, geometry, index, to_pixels)
        Annotator(painter, (VIEW, VIEW)).paint(self._annotation(geometry, index, mm_per_pixel, position_mm))

    def middle_of(self, axis: int) -> tuple[PlaneGeometry, float]:
        """The view whose slices run along a voxel axis, and its mm per pixel."""
        geometry = next(one for one in self._geometries if one.slices == axis)
        return geometry, max(geometry.extent_mm()[:2]) / (VIEW * 0.94)

    def _contour(self, painter: QPainter, geometry: PlaneGeometry, index: int, to_pixels: QTransform) -> None:
        from brainviewer.render.layers import take

        inside = take(self._material.mask, geometry, index).astype(np.float32)
        path = QPainterPath()
        for line in contours(inside, 0.5):
            path.addPolygon(QPolygonF([to_pixels.map(QPointF(x, y)) for x, y in line.tolist()]))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor("#5fd4ff"), 0.9))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPath(path)

    def _annotation(
        self, geometry: PlaneGeometry, index: int, mm_per_pixel: float, position_mm: Sequence[float] | None
    ) -> Annotation:
        volume = self._layers.volume
        annotation = Annotation(geometry.plane)
        if is_oriented(volume):
            right, up = geometry.screen[0], geometry.screen[1]
            annotation.letters = {
                "left": letters(-right), "right": letters(right), "top": letters(up), "bottom": letters(-up),
            }  # fmt: skip
        if not volume.is_picture:
            annotation.heading = f"{index + 1} / {geometry.count}"
        if volume.calibrated:
            annotation.mm_per_pixel = mm_per_pixel
            if position_mm is not None and not volume.is_picture:
                # Where this slice lies, along the patient axis it is cut across.
                axis = _ACROSS[geometry.plane]
                annotation.corners["bottom_left"] = [f"{describe(np.asarray(position_mm)).split('  ')[axis]} mm"]
        return annotation


def _window(material: Material) -> tuple[float, float]:
    source = material.source
    if source is not None and source.series.window is not None:
        return source.series.window
    return auto_window(material.volume.voxels, material.volume.modality)


def _to_pixels(geometry: PlaneGeometry, index: int, mm_per_pixel: float) -> QTransform:
    """(across, up) in voxels of a slice -> logical pixels of the view."""
    to_patient = geometry.slice_to_patient(index)
    centre = geometry.extent_mm()[2]
    screen = geometry.screen[:2] * np.array([[1.0], [-1.0]]) / mm_per_pixel  # right, down
    corners = np.array([[0, 0, 0, 1], [1, 0, 0, 1], [0, 1, 0, 1]]) @ to_patient[:3].T
    origin, across, up = (corners - centre) @ screen.T + VIEW / 2
    return QTransform(*(across - origin), *(up - origin), *origin)


def _draw(painter: QPainter, pixels: NDArray[np.uint8], to_pixels: QTransform) -> None:
    rows, columns = pixels.shape[:2]
    image = QImage(np.ascontiguousarray(pixels).data, columns, rows, 3 * columns, QImage.Format.Format_RGB888)
    factor = max(1, round(SMOOTH_PIXELS / max(rows, columns)))
    smooth = image.scaled(
        columns * factor, rows * factor,
        Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation,
    )  # fmt: skip
    painter.save()
    painter.setRenderHints(QPainter.RenderHint.SmoothPixmapTransform | QPainter.RenderHint.LosslessImageRendering, True)
    painter.setTransform(to_pixels, True)
    painter.drawImage(QRectF(-0.5, -0.5, columns, rows), smooth)
    painter.restore()


class SlicePlot:
    """Healthy percentile of every slice, a curve a run. Runs of other series share the axis by their height."""

    size = QSizeF(3 * VIEW + 2 * GAP + BAR_ROOM, 210.0)

    def __init__(self, runs: Sequence[tuple[str, NDArray[np.float32]]], threshold: float) -> None:
        self._runs, self._threshold = runs, threshold

    def paint(self, painter: QPainter) -> None:
        """On white paper; the painter counts logical pixels."""
        box = QRectF(52, 10, self.size.width() - 240, self.size.height() - 46)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(view_font(12))
        self._axes(painter, box)
        for number, (title, percentiles) in enumerate(self._runs):
            colour, dash = CURVES[number % len(CURVES)]
            painter.setPen(QPen(QColor(colour), 1.6, dash))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawPath(_curve(percentiles, box))
            y = box.top() + 8 + number * 20
            painter.drawLine(QLineF(box.right() + 16, y, box.right() + 44, y))
            painter.setPen(QColor("#1c2127"))
            painter.drawText(QPointF(box.right() + 50, y + 4), title)

    def _axes(self, painter: QPainter, box: QRectF) -> None:
        metrics = QFontMetricsF(painter.font())
        for tick in TICKS:
            y = _height(tick, box)
            painter.setPen(QPen(QColor("#d7dbe0"), 0.6))
            painter.drawLine(QLineF(box.left(), y, box.right(), y))
            painter.setPen(QColor("#5a626c"))
            text = f"{tick:g}"
            painter.drawText(QPointF(box.left() - 6 - metrics.horizontalAdvance(text), y + 4), text)
        painter.setPen(QPen(QColor("#9a5b00"), 0.9, Qt.PenStyle.DashLine))
        threshold = _height(self._threshold, box)
        painter.drawLine(QLineF(box.left(), threshold, box.right(), threshold))
        painter.setPen(QColor("#5a626c"))
        counts = {len(values) for _title, values in self._runs}
        last = f"slice {counts.pop()}" if len(counts) == 1 else "last slice"
        for x, text in ((box.left(), "slice 1"), (box.right() - metrics.horizontalAdvance(last), last)):
            painter.drawText(QPointF(x, box.bottom() + 18), text)
        middle = "healthy percentile of each slice"
        across = (box.left() + box.right() - metrics.horizontalAdvance(middle)) / 2
        painter.drawText(QPointF(across, box.bottom() + 18), middle)


def _height(percentile: float, box: QRectF) -> float:
    return box.bottom() - min(float(tail(percentile)), TOP) / TOP * box.height()


def _curve(percentiles: NDArray[np.float32], box: QRectF) -> QPainterPath:
    path, pen_down = QPainterPath(), False
    for index, value in enumerate(percentiles):
        at = QPointF(box.left() + (index + 0.5) / len(percentiles) * box.width(), _height(float(value), box))
        if not np.isfinite(value):
            pen_down = False
            continue
        path.lineTo(at) if pen_down else path.moveTo(at)
        pen_down = True
    return path
