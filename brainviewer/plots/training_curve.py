"""The losses of a training while it learns."""

from __future__ import annotations

from collections.abc import Sequence

import pyqtgraph as pg
from PySide6.QtCore import QEvent
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QWidget

from brainviewer.plots.slice_scores import STYLES

Curve = Sequence[tuple[int, dict[str, float]]]
MOST_LOSSES, HEADROOM = 6, 1.25
NOTHING = "The losses appear here while a model learns."


class TrainingCurve(pg.PlotWidget):  # type: ignore[misc]
    """One line a loss, told apart by colour and dash, over the steps."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMouseEnabled(False, False)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setAntialiasing(True)
        self.setFrameShape(self.Shape.NoFrame)
        self.setMinimumHeight(140)
        self.setAccessibleName("Training curve")
        self.setAccessibleDescription("Losses of the fine-tuning over its steps")
        self.setLabel("bottom", "Step")
        self.setLabel("left", "Loss")
        self.showGrid(x=False, y=True, alpha=0.15)
        # In one row above the curves, which leave it room (HEADROOM).
        self._legend = self.addLegend(offset=(8, 2), colCount=MOST_LOSSES, horSpacing=14)
        self._lines: dict[str, pg.PlotDataItem] = {}
        self._paint()

    def show_curve(self, curve: Curve, steps: int) -> None:
        """The losses so far, out of so many steps."""
        names = list(dict.fromkeys(name for _, losses in curve for name in losses))
        if names != list(self._lines):
            self._legend.clear()
            self.clear()
            self._lines = {name: self._line(number, name) for number, name in enumerate(names)}
        for name, line in self._lines.items():
            points = [(step, losses[name]) for step, losses in curve if name in losses]
            line.setData([step for step, _ in points], [value for _, value in points])
        if names:
            highest = max(value for _, losses in curve for value in losses.values())
            self.setYRange(0, HEADROOM * highest, padding=0.01)
        self.setXRange(0, max(steps, 1), padding=0.01)
        self.setTitle(None if names else NOTHING, size="9pt")
        for side in ("left", "bottom"):
            # Before the first loss there is nothing that figures could belong to.
            self.getAxis(side).setStyle(showValues=bool(names))

    def _line(self, number: int, name: str) -> pg.PlotDataItem:
        colour, dash = STYLES[number % len(STYLES)]
        return self.plot(pen=pg.mkPen(colour, width=1.8, style=dash), name=name)

    def _paint(self) -> None:
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        self.setBackground(self.palette().color(QPalette.ColorRole.Base))
        for side in ("left", "bottom"):
            self.getAxis(side).setPen(pg.mkPen(ink, width=1))
            self.getAxis(side).setTextPen(ink)
        self._legend.setLabelTextColor(ink)
        for _, label in self._legend.items:
            # pyqtgraph keeps the colour, but writes only new words in it.
            label.setText(label.text)

    def changeEvent(self, event: QEvent) -> None:  # noqa: D102, N802
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange) and hasattr(self, "_lines"):
            self._paint()
        super().changeEvent(event)
