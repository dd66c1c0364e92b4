"""The outline of the brush under the pointer."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

_HALO, _LINE = QColor(0, 0, 0, 160), QColor("#ffffff")
_MARGIN = 4.0


class BrushRing:
    """A ring of the brush's size; dashed while it erases. Logical pixels of the whole surface."""

    def __init__(self) -> None:
        self._centre: QPointF | None = None
        self._radius = 0.0
        self._frame = QRectF()
        self._dashed = False

    def put(self, centre: QPointF | None, radius: float, frame: QRectF, dashed: bool) -> list[QRect]:
        """Move the ring (None takes it away); returns what has to be painted again."""
        before = self._place()
        self._centre, self._radius, self._frame, self._dashed = centre, radius, frame, dashed
        return [place for place in (before, self._place()) if not place.isEmpty()]

    def _place(self) -> QRect:
        if self._centre is None:
            return QRect()
        reach = self._radius + _MARGIN
        around = QRectF(self._centre.x() - reach, self._centre.y() - reach, 2 * reach, 2 * reach)
        return (around & self._frame).toAlignedRect()

    def paint(self, painter: QPainter) -> None:
        """Paint it inside its view."""
        if self._centre is None:
            return
        painter.save()
        painter.setClipRect(self._frame, Qt.ClipOperation.IntersectClip)
        # Thin lines without smoothing: a smoothed wide ring takes longer than all the rest of a dab.
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        style = Qt.PenStyle.DashLine if self._dashed else Qt.PenStyle.SolidLine
        # A dark ring around the bright one: seen on any grey.
        for colour, radius, kind in ((_HALO, self._radius + 1, Qt.PenStyle.SolidLine), (_LINE, self._radius, style)):
            painter.setPen(QPen(colour, 1.0, kind))
            painter.drawEllipse(self._centre, radius, radius)
        painter.restore()
