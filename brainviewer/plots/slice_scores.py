"""The strip under the views: how unusual each slice is, one curve a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPalette, QWheelEvent
from PySide6.QtWidgets import QLabel, QStackedLayout, QWidget

from brainviewer.state import Cursor, Display
from brainviewer.study.mask_edit import SliceState
from brainviewer.study.percentile_scale import tail
from engines import AnomalyResult, Volume

Runs = Sequence[tuple[str, AnomalyResult]]

# Colour and dash together tell the curves apart; the colours (Okabe-Ito) hold for colour-blind readers
# and on light and dark backgrounds.
STYLES: tuple[tuple[str, Qt.PenStyle], ...] = (
    ("#e69f00", Qt.PenStyle.SolidLine),
    ("#56b4e9", Qt.PenStyle.DashLine),
    ("#009e73", Qt.PenStyle.DotLine),
    ("#cc79a7", Qt.PenStyle.DashDotLine),
    ("#0072b2", Qt.PenStyle.DashDotDotLine),
    ("#d55e00", Qt.PenStyle.SolidLine),
)
_TICKS = (0.0, 50.0, 90.0, 99.0, 99.9)
_TOP = 3.15
# Room above the curves for a row of their names, two in each: over the curves they would hide the high slices.
_NAMES, _IN_ROW, _MOST_ROWS = 0.65, 2, 2
# Slice states stand in a row under the curves; shape and colour tell them apart.
STATE_MARKS: dict[SliceState, tuple[str, str, bool]] = {
    SliceState.CONFIRMED: ("o", "#009e73", True),
    SliceState.CORRECTED: ("s", "#56b4e9", True),
    SliceState.REJECTED: ("x", "#e69f00", True),
    SliceState.INTERPOLATED: ("d", "#56b4e9", False),
}
_STATE_ROW, _STATE_BOTTOM = -0.32, -0.62
EMPTY_TEXT = "No slice scores yet. Choose an engine and press Run."


class SliceScoreStrip(QWidget):
    """Healthy percentile of every slice, with the threshold and the shown slice; click or drag to go to a slice."""

    def __init__(self, cursor: Cursor, display: Display, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cursor, self._display = cursor, display
        self._volume: Volume | None = None
        self._runs: Runs = ()
        self._states: NDArray[np.uint8] | None = None
        self._marks = {state: pg.ScatterPlotItem(size=8, symbol=mark[0]) for state, mark in STATE_MARKS.items()}
        self._plot = _Plot()
        self._empty = QLabel(EMPTY_TEXT, alignment=Qt.AlignmentFlag.AlignCenter)
        self._pages = QStackedLayout(self)
        self._pages.addWidget(self._empty)
        self._pages.addWidget(self._plot)
        self._here = pg.InfiniteLine(angle=90, movable=False, label="{value:.0f}", labelOpts={"position": 0.5})
        self._threshold = pg.InfiniteLine(angle=0, movable=False)
        self._plot.gone_to.connect(self.go_to)
        self._plot.turned.connect(lambda turns: self.go_to(self.slice_index() - turns))
        cursor.moved.connect(self._move_line)
        display.changed.connect(self._on_display)
        self.setMinimumHeight(72)
        self.setAccessibleName("Slice scores")
        self.setAccessibleDescription("Healthy percentile of each slice, one curve for each run")

    # What is shown

    @property
    def slice_axis(self) -> int:
        """The voxel axis whose slices are plotted."""
        if self._runs:
            return self._runs[0][1].slice_axis
        return self._volume.slice_axis if self._volume is not None else 2

    def set_volume(self, volume: Volume | None, runs: Runs = ()) -> None:
        """Another volume is open, with these runs on it."""
        self._volume = volume
        self.set_runs(runs)

    def set_runs(self, runs: Runs) -> None:
        """One curve for each (title, result); runs scored along another axis than the first are left out."""
        volume = self._volume
        axis = runs[0][1].slice_axis if runs else 2
        count = volume.shape[axis] if volume is not None else 0
        self._runs = [run for run in runs if run[1].slice_axis == axis and run[1].slice_percentiles.size == count]
        self._rebuild()

    def set_states(self, states: NDArray[np.uint8] | None) -> None:
        """What a reader said about each slice: uint8 (slices,), a SliceState each; None takes the row away."""
        had = self._states is not None
        self._states = states.copy() if states is not None else None
        if had != (states is not None):
            self._rebuild()
        elif states is not None:
            self._mark_states()

    def _mark_states(self) -> None:
        states = self._states if self._states is not None else np.zeros(0, np.uint8)
        for state, item in self._marks.items():
            numbers = np.flatnonzero(states == state) + 1
            item.setData(numbers, np.full(numbers.size, _STATE_ROW))

    def slice_index(self) -> int:
        """The slice that the cursor is in."""
        if self._volume is None:
            return 0
        affine = self._volume.affine
        voxel = np.linalg.solve(affine[:3, :3], self._cursor.position_mm - affine[:3, 3])
        return int(np.clip(np.floor(voxel[self.slice_axis] + 0.5), 0, self._volume.shape[self.slice_axis] - 1))

    def go_to(self, index: int) -> None:
        """Move the cursor into a slice, keeping its place within the slice."""
        if self._volume is None:
            return
        affine, axis = self._volume.affine, self.slice_axis
        voxel = np.linalg.solve(affine[:3, :3], self._cursor.position_mm - affine[:3, 3])
        voxel[axis] = np.clip(index, 0, self._volume.shape[axis] - 1)
        self._cursor.move_to(affine[:3, :3] @ voxel + affine[:3, 3])

    def next_high(self, direction: int) -> bool:
        """Go to the next slice (direction 1) or the one before (-1) that a run puts above the threshold."""
        high = np.flatnonzero(self._highest() > self._display.threshold)
        here = self.slice_index()
        ahead = high[high > here] if direction > 0 else high[high < here][::-1]
        if ahead.size:
            self.go_to(int(ahead[0]))
        return bool(ahead.size)

    def _highest(self) -> NDArray[np.float32]:
        """The highest percentile of any run for each slice; 0 where no run scored it."""
        curves = [np.nan_to_num(result.slice_percentiles) for _, result in self._runs]
        return np.max(curves, axis=0) if curves else np.zeros(0, dtype=np.float32)

    # Drawing

    def _rebuild(self) -> None:
        shown = bool(self._runs) or self._states is not None
        self._pages.setCurrentWidget(self._plot if shown else self._empty)
        plot = self._plot
        plot.clear()
        plot.legend_of().clear()
        if not shown or self._volume is None:
            return
        count = self._volume.shape[self.slice_axis]
        plot.setXRange(0.5, count + 0.5, padding=0.01)
        rows = min(-(-len(self._runs) // _IN_ROW), _MOST_ROWS)
        plot.setYRange(_STATE_BOTTOM if self._states is not None else 0, _TOP + rows * _NAMES, padding=0.02)
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        plot.paint_in(self.palette())
        for number, (title, result) in enumerate(self._runs):
            self._add_curve(number, title, result.slice_percentiles)
        self._threshold.setPen(pg.mkPen(ink, width=1, style=Qt.PenStyle.DashLine))
        accent = self.palette().color(QPalette.ColorRole.Highlight)
        self._here.setPen(pg.mkPen(accent, width=2))
        self._here.label.setColor(ink)
        plot.addItem(self._threshold, ignoreBounds=True)
        plot.addItem(self._here, ignoreBounds=True)
        self._threshold.setPos(float(tail(self._display.threshold)))
        self._add_marks()
        self._move_line()

    def _add_marks(self) -> None:
        """The row of slice states."""
        if self._states is None:
            return
        for state, (_, colour, filled) in STATE_MARKS.items():
            item = self._marks[state]
            item.setPen(pg.mkPen(colour, width=1.5))
            item.setBrush(pg.mkBrush(colour) if filled else None)
            self._plot.addItem(item, ignoreBounds=True)
        self._mark_states()

    def _add_curve(self, number: int, title: str, percentiles: NDArray[np.float32]) -> None:
        """A line with gaps where slices were not scored, and a dot on each slice above the threshold."""
        colour, dash = STYLES[number % len(STYLES)]
        heights = np.minimum(tail(percentiles), _TOP)
        heights[np.isnan(percentiles)] = np.nan
        numbers = np.arange(1, percentiles.size + 1)
        self._plot.plot(numbers, heights, pen=pg.mkPen(colour, width=1.6, style=dash), connect="finite", name=title)
        high = np.nan_to_num(percentiles) > self._display.threshold
        dots = pg.ScatterPlotItem(numbers[high], heights[high], size=6, pen=None, brush=pg.mkBrush(colour))
        self._plot.addItem(dots)

    def _move_line(self) -> None:
        if self._runs or self._states is not None:
            self._here.setPos(self.slice_index() + 1)

    def _on_display(self, name: str) -> None:
        if name == "threshold" and self._runs:
            self._rebuild()

    def changeEvent(self, event: QEvent) -> None:  # noqa: D102, N802
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange) and hasattr(self, "_here"):
            self._rebuild()
        super().changeEvent(event)


class _Plot(pg.PlotWidget):  # type: ignore[misc]
    """Axes without pan and zoom, whose mouse chooses slices."""

    gone_to = Signal(int)
    turned = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setMouseEnabled(False, False)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setAntialiasing(True)
        self.setFrameShape(self.Shape.NoFrame)
        self.setViewportUpdateMode(self.ViewportUpdateMode.SmartViewportUpdate)
        vertical = self.getAxis("left")
        vertical.setTicks([[(float(tail(tick)), f"{tick:g}") for tick in _TICKS]])
        vertical.setWidth(60)
        vertical.setLabel("Percentile")
        self.showGrid(x=False, y=True, alpha=0.15)
        self._legend = self.addLegend(offset=(8, 1), verSpacing=-4, horSpacing=16, colCount=_IN_ROW)

    def legend_of(self) -> pg.LegendItem:
        """The list of runs."""
        return self._legend

    def paint_in(self, palette: QPalette) -> None:
        """Take the colours of the window's theme."""
        ink = palette.color(QPalette.ColorRole.WindowText)
        self.setBackground(palette.color(QPalette.ColorRole.Base))
        for side in ("left", "bottom"):
            self.getAxis(side).setPen(pg.mkPen(ink, width=1))
            self.getAxis(side).setTextPen(ink)
        self._legend.setLabelTextColor(ink)
        behind = palette.color(QPalette.ColorRole.Base)
        behind.setAlpha(200)
        self._legend.setBrush(pg.mkBrush(behind))

    def number_at(self, point: QPointF) -> int:
        """The slice number (from 1) under a point of the widget."""
        return round(float(self.getViewBox().mapSceneToView(self.mapToScene(point.toPoint())).x()))

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: D102, N802
        if event.button() == Qt.MouseButton.LeftButton:
            self.gone_to.emit(self.number_at(event.position()) - 1)
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: D102, N802
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.gone_to.emit(self.number_at(event.position()) - 1)
        event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: D102, N802
        event.accept()

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: D102, N802
        turns = round(event.angleDelta().y() / 120)
        if turns:
            self.turned.emit(turns)
        event.accept()
