"""The slice-score strip: what it shows, where a click leads, which slice is the next high one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QPalette
from pytestqt.qtbot import QtBot

from brainviewer.plots.slice_scores import STYLES, SliceScoreStrip
from brainviewer.state import Cursor, Display
from engines import AnomalyResult, PercentileScale, Provenance, Volume

NAN = float("nan")


def result(volume: Volume, percentiles: Sequence[float], axis: int = 2) -> AnomalyResult:
    curve = np.array(percentiles, np.float32)
    return AnomalyResult(
        heatmap=np.zeros(volume.shape, np.float32),
        scale=PercentileScale(np.array([0.0, 1.0]), np.array([0.0, 100.0])),
        region=np.ones(volume.shape, dtype=bool),
        slice_axis=axis,
        slice_scores=curve / 100,
        slice_percentiles=curve,
        score=0.5,
        score_percentile=50.0,
        threshold=0.99,
        provenance=Provenance("fake", "fake v1", "0", {}, "cpu", "fp32", 0.1, volume.uid),
    )


@pytest.fixture
def volume() -> Volume:
    """Ten axial slices, stored from top to bottom."""
    affine = np.diag([1.0, 1.0, -5.0, 1.0])
    affine[2, 3] = 45.0
    return Volume(np.zeros((20, 24, 10), np.float32), affine, "T1")


@pytest.fixture
def strip(qtbot: QtBot, volume: Volume) -> SliceScoreStrip:
    strip = SliceScoreStrip(Cursor(), Display())
    qtbot.addWidget(strip)
    strip.resize(700, 150)
    strip.set_volume(volume)
    strip.show()
    qtbot.waitExposed(strip)
    return strip


CURVE = [10, 50, 99.5, 99.2, 20, NAN, 90, 99.95, 30, 100]


def click(qtbot: QtBot, strip: SliceScoreStrip, number: int, height: float = 1.0) -> None:
    plot = strip._plot
    scene = plot.getViewBox().mapViewToScene(QPointF(number, height))
    at = plot.mapFromScene(scene)
    qtbot.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(at))


def test_without_runs_it_says_what_to_do(strip: SliceScoreStrip, volume: Volume) -> None:
    assert strip._pages.currentWidget() is strip._empty
    assert "Run" in strip._empty.text()
    strip.set_runs([("SAGAN", result(volume, CURVE))])
    assert strip._pages.currentWidget() is strip._plot
    strip.set_volume(volume)
    assert strip._pages.currentWidget() is strip._empty, "the last volume's curves are gone"


@pytest.mark.parametrize("number", [1, 4, 10])
def test_a_click_goes_to_the_slice_and_stays_in_place_within_it(
    qtbot: QtBot, strip: SliceScoreStrip, volume: Volume, number: int
) -> None:
    strip.set_runs([("SAGAN", result(volume, CURVE))])
    strip._cursor.move_to((3.0, 7.0, 22.0))
    click(qtbot, strip, number)
    assert strip._cursor.position_mm == pytest.approx((3.0, 7.0, 45.0 - 5.0 * (number - 1)))
    assert strip._here.value() == number


def test_the_line_follows_the_cursor(strip: SliceScoreStrip, volume: Volume) -> None:
    strip.set_runs([("SAGAN", result(volume, CURVE))])
    strip._cursor.move_to((0, 0, 45.0 - 5.0 * 6.4))
    assert strip._here.value() == 7


def test_next_high_skips_low_and_unscored_slices(strip: SliceScoreStrip, volume: Volume) -> None:
    strip.set_runs([("SAGAN", result(volume, CURVE))])
    strip.go_to(0)
    visited = []
    for _ in range(5):
        moved = strip.next_high(1)
        visited.append((moved, strip.slice_index()))
    assert visited == [(True, 2), (True, 3), (True, 7), (True, 9), (False, 9)]
    assert strip.next_high(-1)
    assert strip.slice_index() == 7
    strip._display.threshold = 99.9
    assert not strip.next_high(-1)


def test_the_highest_of_all_runs_counts(strip: SliceScoreStrip, volume: Volume) -> None:
    strip.set_runs([("A", result(volume, [0] * 10)), ("B", result(volume, [0] * 4 + [99.7] + [0] * 5))])
    strip.go_to(0)
    assert strip.next_high(1)
    assert strip.slice_index() == 4


def test_curves_differ_in_colour_and_dash_and_show_gaps(strip: SliceScoreStrip, volume: Volume) -> None:
    strip.set_runs([("A", result(volume, CURVE)), ("B", result(volume, CURVE))])
    curves = [item for item in strip._plot.listDataItems() if isinstance(item, pg.PlotDataItem)]
    assert [curve.name() for curve in curves] == ["A", "B"]
    assert curves[0].opts["pen"].style() != curves[1].opts["pen"].style()
    assert curves[0].opts["pen"].color() != curves[1].opts["pen"].color()
    assert np.isnan(curves[0].yData[5])
    assert len(set(STYLES)) == len(STYLES)


def test_the_threshold_line_lies_on_the_percentile_scale(strip: SliceScoreStrip, volume: Volume) -> None:
    strip.set_runs([("A", result(volume, CURVE))])
    assert strip._threshold.value() == pytest.approx(2.0)
    strip._display.threshold = 90
    assert strip._threshold.value() == pytest.approx(1.0)


def test_a_run_along_another_axis_is_left_out(strip: SliceScoreStrip, volume: Volume) -> None:
    strip.set_runs([("A", result(volume, CURVE)), ("B", result(volume, [1] * 20, axis=0))])
    assert len(strip._runs) == 1


def test_it_takes_the_themes_colours(strip: SliceScoreStrip, volume: Volume) -> None:
    strip.set_runs([("A", result(volume, CURVE))])
    dark = QPalette(strip.palette())
    dark.setColor(QPalette.ColorRole.Base, QColor("#101214"))
    dark.setColor(QPalette.ColorRole.WindowText, QColor("#e0e0e0"))
    strip.setPalette(dark)
    assert strip._plot.backgroundBrush().color() == QColor("#101214")
    assert strip._plot.getAxis("left").textPen().color() == QColor("#e0e0e0")
