"""Figures of a comparison: ROC, precision over recall, Bland-Altman; drawn, and saved as PNG, SVG or CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyqtgraph as pg
import pyqtgraph.exporters
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QPainter, QPalette
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QWidget

from brainviewer.plots.slice_scores import STYLES
from engines import KnownError

Floats = NDArray[np.float64]
PNG_PIXELS = 1600


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A named curve, or with `dots` a cloud. x, y: float64 (n,)."""

    title: str
    x: Floats
    y: Floats
    dots: bool = False


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line across the plot, with its meaning. diagonal: from (0, 0) to (1, 1) instead."""

    title: str
    at: float
    diagonal: bool = False


class CurvePlot(pg.PlotWidget):  # type: ignore[misc]
    """One figure. Colour and dash together tell the curves apart."""

    def __init__(
        self,
        title: str,
        across: str,
        up: str,
        *,
        unit: bool = True,
        legend_low: bool = True,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._title, self._names, self._unit = title, (across, up), unit
        self.lines: list[Line] = []
        self._levels: list[Level] = []
        self.setAccessibleName(title)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setAntialiasing(True)
        self.setFrameShape(self.Shape.NoFrame)
        self.setMouseEnabled(False, False)
        self.showGrid(x=True, y=True, alpha=0.15)
        self._legend = self.addLegend(offset=(-8, -8 if legend_low else 8), verSpacing=-4)
        self.show_lines([], [])

    def show_lines(self, lines: Sequence[Line], levels: Sequence[Level]) -> None:
        """Draw these and no others."""
        self.lines, self._levels = [*lines], [*levels]
        self._draw()

    def _draw(self) -> None:
        palette = self.palette()
        ink = palette.color(QPalette.ColorRole.WindowText)
        self.clear()
        self._legend.clear()
        self.setBackground(palette.color(QPalette.ColorRole.Base))
        self.setTitle(self._title, color=ink, size="10pt")
        for side, name in zip(("bottom", "left"), self._names, strict=True):
            self.setLabel(side, name, color=ink)
            self.getAxis(side).setPen(pg.mkPen(ink, width=1))
            self.getAxis(side).setTextPen(ink)
        self._legend.setLabelTextColor(ink)
        behind = palette.color(QPalette.ColorRole.Base)
        behind.setAlpha(200)
        self._legend.setBrush(pg.mkBrush(behind))
        for number, one in enumerate(self.lines):
            self._add(number, one)
        quiet = pg.mkPen(ink, width=1, style=Qt.PenStyle.DotLine)
        for level in self._levels:
            if level.diagonal:
                self.plot([0, 1], [0, 1], pen=quiet)
            else:
                text = {"position": 0.04, "color": ink, "anchors": [(0, 1), (0, 1)]}
                self.addItem(pg.InfiniteLine(level.at, angle=0, pen=quiet, label=level.title, labelOpts=text))
        if self._unit:
            self.setRange(xRange=(0, 1), yRange=(0, 1), padding=0.02)

    def _add(self, number: int, one: Line) -> None:
        colour, dash = STYLES[number % len(STYLES)]
        if one.dots:
            faint = pg.mkColor(colour)
            faint.setAlpha(90)
            self.plot(
                one.x, one.y, pen=None, symbol="o", symbolSize=3, symbolPen=None, symbolBrush=faint, name=one.title
            )
        else:
            self.plot(one.x, one.y, pen=pg.mkPen(colour, width=1.8, style=dash), name=one.title)

    def save(self, path: Path) -> None:
        """Write the figure as .png or .svg, or its points as .csv; raises KnownError where that cannot be done."""
        reason = "it could not be written"
        try:
            done = self._write(path)
        except OSError as error:
            done, reason = False, str(error)
        if not (done and path.exists()):
            raise KnownError(f"The figure could not be saved as {path}: {reason}.", "Choose another folder.")

    def _write(self, path: Path) -> bool:
        if path.suffix.lower() == ".csv":
            with path.open("w", newline="", encoding="utf-8") as file:
                table = csv.writer(file)
                table.writerow(["curve", *self._names])
                table.writerows((one.title, x, y) for one in self.lines for x, y in zip(one.x, one.y, strict=True))
            return True
        if path.suffix.lower() == ".svg":
            # Qt's own: pyqtgraph's exporter stumbles over closed paths.
            generator = QSvgGenerator()
            generator.setFileName(str(path))
            generator.setSize(self.size())
            generator.setViewBox(self.rect())
            painter = QPainter()
            if not painter.begin(generator):
                return False
            self.scene().render(painter)
            return painter.end()
        exporter = pg.exporters.ImageExporter(self.getPlotItem())
        exporter.parameters()["width"] = PNG_PIXELS
        return exporter.export(str(path)) is not False

    def changeEvent(self, event: QEvent) -> None:  # noqa: D102, N802
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange) and hasattr(self, "_legend"):
            self._draw()
        super().changeEvent(event)
