"""The curve that a threshold was read from: percentiles of the error, with the place where a mask ends."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QWidget

from brainviewer.plots.slice_scores import STYLES

# The last percentiles belong to a handful of voxels and would press the rest to the ground.
HEADROOM = 3.0


class ThresholdPlot(pg.PlotWidget):  # type: ignore[misc]
    """Error over percentile (1..100), a line at the threshold in use and a dashed one at the threshold proposed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMouseEnabled(False, False)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setAntialiasing(True)
        self.setFrameShape(self.Shape.NoFrame)
        self.setFixedHeight(160)
        self.setAccessibleName("Threshold curve")
        self.setAccessibleDescription("Percentiles of the error inside the brain, with the threshold")
        self.getAxis("left").setWidth(44)
        self.setLabel("bottom", "Percentile of the brain")
        self.setLabel("left", "Error")
        colour = STYLES[0][0]
        self._line = self.plot(pen=pg.mkPen(colour, width=1.8), connect="finite")
        self._dot = pg.ScatterPlotItem(size=9, pen=None, brush=pg.mkBrush(colour))
        self._used = pg.InfiniteLine(angle=0, movable=False)
        self._proposed = pg.InfiniteLine(angle=0, movable=False)
        for item in (self._dot, self._used, self._proposed):
            self.addItem(item, ignoreBounds=True)
        self._paint()

    def show_curve(self, curve: NDArray[np.float64], used: int | None, proposed: int | None) -> None:
        """Percentiles 1..100 of the error, and at which of them the threshold is and would be (None = nowhere)."""
        self._line.setData(np.arange(1, len(curve) + 1), curve)
        for line, step in ((self._used, used), (self._proposed, proposed)):
            line.setVisible(step is not None)
            if step is not None:
                line.setPos(float(curve[step - 1]))
        self._dot.setData([proposed], [curve[proposed - 1]]) if proposed is not None else self._dot.clear()
        marked = [curve[step - 1] for step in (used, proposed) if step is not None]
        top = min(float(np.nanmax(curve)), HEADROOM * float(max(marked, default=np.inf)))
        self.setXRange(0, len(curve), padding=0.01)
        self.setYRange(0, max(top, 1e-9), padding=0.02)

    def marked(self) -> tuple[float, float] | None:
        """Percentile and error of the proposed threshold, as drawn."""
        x, y = self._dot.getData()
        return (float(x[0]), float(y[0])) if len(x) else None

    def _paint(self) -> None:
        palette = self.palette()
        ink = palette.color(QPalette.ColorRole.WindowText)
        self.setBackground(palette.color(QPalette.ColorRole.Base))
        for side in ("left", "bottom"):
            self.getAxis(side).setPen(pg.mkPen(ink, width=1))
            self.getAxis(side).setTextPen(ink)
        self._used.setPen(pg.mkPen(ink, width=1))
        self._proposed.setPen(pg.mkPen(ink, width=1, style=Qt.PenStyle.DashLine))

    def changeEvent(self, event: QEvent) -> None:  # noqa: D102, N802
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange) and hasattr(self, "_proposed"):
            self._paint()
        super().changeEvent(event)
