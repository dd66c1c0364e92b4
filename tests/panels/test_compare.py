"""Runs beside each other."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QTimer

from brainviewer.panels.compare import MODES, CompareView, key_slices
from brainviewer.render.scene import TriplanarScene
from tests.panels.test_viewer import colourful

pytestmark = pytest.mark.display


@pytest.fixture
def compared(qtbot, viewer, open_head):
    """A viewer with three runs in the compare workspace."""
    open_head(viewer)
    for engine in ("one", "two", "three"):
        with qtbot.waitSignal(viewer.detecting.finished, timeout=60_000):
            viewer.detecting.run(engine, engine.title(), viewer.engines_panel.model)
    viewer.display.threshold = 90.0
    viewer.cursor.move_to([16.0, -12.0, 15.0])
    viewer.commands.run("compare.side")
    qtbot.waitUntil(lambda: len(viewer.compare.views) == 3, timeout=10_000)
    return viewer


def titles(viewer):
    return [view._scene._layers.overlay.title for view in viewer.compare.views]


def views_of(qtbot, viewer, count):
    """The views, once all are there: they come in turns of the event loop of their own."""
    qtbot.waitUntil(lambda: len(viewer.compare.views) == count, timeout=10_000)
    return viewer.compare.views


def test_without_runs_the_workspace_says_what_is_missing(qtbot, viewer, open_head):
    viewer.workspaces.choose("Compare")
    qtbot.waitUntil(lambda: "Open a study" in viewer.compare.note)
    open_head(viewer)
    qtbot.waitUntil(lambda: "Run an engine" in viewer.compare.note)
    viewer.compare.set_mode("wipe")
    assert "Two runs" in viewer.compare.note


def test_every_run_has_a_view_with_its_own_title_and_the_same_slice(qtbot, compared):
    views = compared.compare.views
    assert titles(compared) == ["One", "Two", "Three"]
    assert {view.maximised for view in views} == {"axial"}
    qtbot.waitUntil(lambda: all(colourful(view.grab().toImage()) > 50 for view in views), timeout=10_000)


def test_zooming_one_view_zooms_all(qtbot, compared):
    first, *others = compared.compare.views
    first._scene.zoom("axial", 2.0, first.width() / 2, first.height() / 2)
    for view in others:
        assert view._scene.view("axial").camera[1] == pytest.approx(2.0)


def test_a_run_left_out_is_not_shown_and_comes_back(qtbot, compared):
    first = compared.session.runs[0]
    compared.compare.choose(first.key, False)
    qtbot.waitUntil(lambda: titles(compared) == ["Two", "Three"], timeout=10_000)
    compared.compare.choose(first.key, True)
    qtbot.waitUntil(lambda: titles(compared) == ["One", "Two", "Three"], timeout=10_000)


@pytest.mark.parametrize("mode", MODES)
def test_every_arrangement_draws_and_can_be_left_again(qtbot, compared, mode):
    compared.commands.run(f"compare.{mode}")
    compare = compared.compare
    expected = {"side": 3, "planes": 3, "wipe": 2, "flicker": 2, "agreement": 1, "difference": 1}
    if mode == "figures":
        qtbot.waitUntil(lambda: compare._figures is not None and compare._figures.isVisible(), timeout=10_000)
    elif mode in expected:
        views_of(qtbot, compared, expected[mode])
    else:
        expected_slices = len(key_slices(compared.session.runs, compared.session.volume))
        qtbot.waitUntil(lambda: len(compare.views) == 3 * expected_slices, timeout=10_000)
    qtbot.waitUntil(
        lambda: all(view._scene.stale() == [] for view in compare.views if view.isVisible()), timeout=10_000
    )
    compared.workspaces.choose("View")
    qtbot.waitUntil(lambda: compare.views == ())
    assert compared.viewport.isVisible()


def test_the_agreement_of_all_is_brighter_than_of_some(qtbot, compared):
    compared.commands.run("compare.agreement")
    (view,) = views_of(qtbot, compared, 1)
    qtbot.waitUntil(lambda: colourful(view.grab().toImage()) > 50, timeout=10_000)
    overlay = view._scene._layers.overlay
    assert len(overlay.runs) == 3


def test_the_wipe_uncovers_the_run_below(qtbot, compared):
    compared.commands.run("compare.wipe")
    upper = views_of(qtbot, compared, 2)[-1]
    qtbot.waitUntil(lambda: not upper.mask().isEmpty(), timeout=10_000)
    compared.compare._wipe.fit(0.25)
    assert upper.mask().boundingRect().width() == pytest.approx(0.25 * upper.width(), abs=3)


def test_flicker_shows_one_run_after_the_other(qtbot, compared):
    compared.commands.run("compare.flicker")
    upper = views_of(qtbot, compared, 2)[-1]
    qtbot.waitUntil(lambda: not upper.isVisible(), timeout=5_000)
    qtbot.waitUntil(upper.isVisible, timeout=5_000)


def test_key_slices_are_the_highest_and_lie_apart(compared):
    runs, volume = compared.session.runs, compared.session.volume
    found = key_slices(runs, volume, most=3)
    percentiles = runs[0].result.slice_percentiles
    assert found == sorted(found)
    assert int(np.nanargmax(percentiles)) in found
    assert min(np.diff(found)) >= 2


def test_each_view_is_made_and_drawn_in_a_turn_of_its_own(qtbot, compared, monkeypatch):
    """Four views made or drawn together would hold up the window four times as long as one."""
    compared.workspaces.choose("View")
    qtbot.waitUntil(lambda: compared.compare.views == ())
    turns, done = [0], []
    ticking = QTimer(interval=0)
    ticking.timeout.connect(lambda: turns.__setitem__(0, turns[0] + 1))
    made, drawn = CompareView._view, TriplanarScene.draw

    def make(view, *args):
        done.append(("made", turns[0]))
        return made(view, *args)

    def draw(scene, planes):
        done.append(("drawn", turns[0]))
        return drawn(scene, planes)

    monkeypatch.setattr(CompareView, "_view", make)
    monkeypatch.setattr(TriplanarScene, "draw", draw)
    ticking.start()
    compared.commands.run("compare.side")
    views = views_of(qtbot, compared, 3)
    qtbot.waitUntil(lambda: not any(view._scene.stale() for view in views), timeout=10_000)
    # Room is kept for those to come: none was drawn in another size first.
    assert sorted(what for what, _ in done) == ["drawn"] * 3 + ["made"] * 3
    compared.cursor.move_to([16.0, -12.0, 3.0])
    qtbot.waitUntil(lambda: not any(view._scene.stale() for view in views), timeout=10_000)
    ticking.stop()
    assert len(done) == 9
    numbers = [turn for _, turn in done]
    assert len(set(numbers)) == len(numbers)


def test_a_fifth_run_takes_the_place_of_the_oldest_and_the_menu_says_which_are_shown(qtbot, compared):
    for engine in ("four", "five"):
        with qtbot.waitSignal(compared.detecting.finished, timeout=60_000):
            compared.detecting.run(engine, engine.title(), compared.engines_panel.model)
    qtbot.waitUntil(lambda: titles(compared) == ["Two", "Three", "Four", "Five"], timeout=20_000)
    marked = [action.text() for action in compared.compare._which.menu().actions() if action.isChecked()]
    assert marked == titles(compared)
    compared.compare.choose(compared.session.runs[0].key, True)
    qtbot.waitUntil(lambda: titles(compared) == ["One", "Three", "Four", "Five"], timeout=10_000)
    compared.compare.choose(compared.session.runs[4].key, False)
    qtbot.waitUntil(lambda: titles(compared) == ["One", "Three", "Four"], timeout=10_000)
