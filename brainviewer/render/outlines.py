"""Outlines on a view: the edges of masks, and of the heatmap in contour mode."""

from __future__ import annotations

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen, QPolygonF

from brainviewer.render.contours import contours
from brainviewer.render.layers import Layers, SliceLayers
from brainviewer.render.overlay import Heatmap, scale_colours
from brainviewer.state import Display
from brainviewer.study.percentile_scale import scale_position, tail

_MASK_WIDTH = 1.2
_HEATMAP_WIDTH = 1.6
_FAINTEST = 0.5


class Outlines:
    """Traces outlines in voxels of the shown slice and keeps them, so that pan and zoom trace nothing."""

    def __init__(self, layers: Layers, slices: SliceLayers) -> None:
        self._layers = layers
        self._slices = slices
        self._paths: dict[str | None, tuple[object, QPainterPath]] = {}

    def forget(self) -> None:
        """Voxels of a layer have changed."""
        self._paths.clear()

    def paint(self, painter: QPainter, display: Display, index: int) -> None:
        """Paint the outlines of slice `index`; the painter counts voxels (across, up)."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for name, layer in self._layers.masks.items():
            self._stroke(painter, self._path(name, index, 0.5), QColor(layer.colour), _MASK_WIDTH)
        if not isinstance(self._layers.overlay, Heatmap) or not display.heatmap_visible or not display.contour:
            return
        place = round(float(scale_position(display.threshold)) * 255)
        colour = QColor(*(int(value) for value in scale_colours(display.palette)[place]))
        colour.setAlphaF(max(display.opacity, _FAINTEST))
        self._stroke(painter, self._path(None, index, float(tail(display.threshold))), colour, _HEATMAP_WIDTH)

    def _path(self, name: str | None, index: int, value: float) -> QPainterPath:
        """A mask's outline by name, or the heatmap's (None)."""
        key, path = self._paths.get(name, (None, QPainterPath()))
        if key != (index, value):
            path = QPainterPath()
            for line in contours(self._slices.field(name, index), value):
                path.addPolygon(QPolygonF([QPointF(x, y) for x, y in line.tolist()]))
            self._paths[name] = ((index, value), path)
        return path

    @staticmethod
    def _stroke(painter: QPainter, path: QPainterPath, colour: QColor, width: float) -> None:
        pen = QPen(colour, width, j=Qt.PenJoinStyle.RoundJoin)
        # Cosmetic: as thin on a magnified slice as on a small one.
        pen.setCosmetic(True)
        painter.setPen(pen)
        painter.drawPath(path)
