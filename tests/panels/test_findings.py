"""The list of findings beside the slice scores."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.display


def rows(panel):
    model = panel.model
    return [
        [model.index(row, column).data() for column in range(model.columnCount())] for row in range(model.rowCount())
    ]


def test_a_run_is_followed_by_its_findings_and_a_click_goes_there(qtbot, viewer, open_head):
    assert "Run an engine" in viewer.findings.note
    open_head(viewer)
    with qtbot.waitSignal(viewer.detecting.finished, timeout=60_000):
        viewer.commands.run("analyse.run")
    viewer.display.threshold = 90.0
    qtbot.waitUntil(lambda: viewer.findings.model.rowCount() == 1, timeout=20_000)
    (number, engine, peak, volume, side, place, seen) = rows(viewer.findings)[0]
    assert (number, peak, side, seen) == ("1", "p 100.0", "right", "")
    assert engine == viewer.session.active_run.title
    assert float(volume.removesuffix(" ml")) == pytest.approx(257 * 12 / 1000, rel=0.1)
    viewer.findings.go_to(0)
    assert abs(viewer.cursor.position_mm - [16, -12, 15]).max() <= 12
    assert viewer.findings.note == ""
    viewer.display.threshold = 50.0
    qtbot.wait(100)
    viewer.session.remove_run(viewer.session.active_run.key)
    qtbot.waitUntil(lambda: viewer.findings.model.rowCount() == 0, timeout=20_000)


def test_nothing_is_not_said_before_the_newest_run_was_searched(qtbot, viewer, open_head):
    open_head(viewer)
    viewer.display.threshold = 99.99
    with qtbot.waitSignal(viewer.detecting.finished, timeout=60_000):
        viewer.detecting.run("one", "One", viewer.engines_panel.model)
    viewer.finding.found = type(viewer.finding.found)((), ())
    viewer.finding.runs = viewer.session.runs
    notes = []
    viewer.finding.changed.connect(lambda: notes.append((viewer.finding.searching, viewer.findings.note)))
    viewer.display.threshold = 90.0
    qtbot.waitUntil(lambda: viewer.findings.model.rowCount() == 1, timeout=20_000)
    assert {note for searching, note in notes if searching and note} <= {"Looking for findings ..."}
    assert any(searching for searching, _ in notes)


def test_two_engines_see_the_same_place(qtbot, viewer, open_head):
    open_head(viewer)
    for engine in ("one", "two"):
        with qtbot.waitSignal(viewer.detecting.finished, timeout=60_000):
            viewer.detecting.run(engine, engine.title(), viewer.engines_panel.model)
    viewer.display.threshold = 90.0
    qtbot.waitUntil(lambda: viewer.findings.model.rowCount() == 2, timeout=20_000)
    assert [row[6] for row in rows(viewer.findings)] == ["Two", "One"]
    (pair,) = viewer.finding.found.pairs
    assert (pair.dice, pair.difference) == (1.0, 0.0)
