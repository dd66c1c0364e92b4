"""The losses of a training as lines."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QColor, QPalette

from brainviewer.plots.training_curve import TrainingCurve

CURVE = [(step, {"mask": 1 / (step + 1), "points": 2 / (step + 2)}) for step in range(5)]


@pytest.fixture
def curve(qtbot):
    shown = TrainingCurve()
    qtbot.addWidget(shown)
    shown.show()
    return shown


def test_names_are_legible_after_the_theme_has_changed(curve):
    curve.show_curve(CURVE, 30)
    for ink, base in (("#111111", "#fafafa"), ("#eeeeee", "#0a0a0a")):
        palette = QPalette(curve.palette())
        palette.setColor(QPalette.ColorRole.WindowText, QColor(ink))
        palette.setColor(QPalette.ColorRole.Base, QColor(base))
        curve.setPalette(palette)
        assert len(curve._legend.items) == 2
        for _, label in curve._legend.items:
            assert ink in label.item.toHtml()


def test_there_are_no_figures_before_the_first_loss(curve):
    curve.show_curve((), 1)
    assert not curve.getAxis("left").style["showValues"]
    curve.show_curve(CURVE, 30)
    assert curve.getAxis("left").style["showValues"]
    assert list(curve._lines) == ["mask", "points"]
