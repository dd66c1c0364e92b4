"""Studies and runs are there the next day: a viewer closed, another one opened."""

from __future__ import annotations

import numpy as np
import pytest

from brainviewer.storage import runs

pytestmark = pytest.mark.display


def run_and_keep(qtbot, viewer):
    with qtbot.waitSignal(viewer.detecting.finished, timeout=60_000) as got:
        viewer.commands.run("analyse.run")
    run = got.args[0]
    qtbot.waitUntil(lambda: run.key in viewer.keeping.library.run_keys(), timeout=30_000)
    return run


def test_a_run_is_shown_again_in_the_next_session(qtbot, make_viewer, open_head):
    first = make_viewer()
    open_head(first)
    run = run_and_keep(qtbot, first)
    study = first.session.study.uid
    first.window.close()
    second = make_viewer()
    assert [entry.runs for entry in second.keeping.library.studies()] == [1]
    open_head(second)
    qtbot.waitUntil(lambda: second.session.active_run is not None, timeout=30_000)
    again = second.session.active_run
    assert second.session.study.uid == study
    assert (again.key, again.title, again.identity) == (run.key, run.title, run.identity)
    assert np.array_equal(again.percentiles, run.percentiles)
    assert np.array_equal(again.result.slice_scores, run.result.slice_scores, equal_nan=True)


def test_closing_the_window_waits_for_a_run_that_is_being_written(qtbot, make_viewer, open_head):
    first = make_viewer()
    open_head(first)
    with qtbot.waitSignal(first.detecting.finished, timeout=60_000) as got:
        first.commands.run("analyse.run")
    first.window.close()
    assert (runs.folder(got.args[0].key) / "result.json").exists()
    second = make_viewer()
    assert second.keeping.library.run_keys() == {got.args[0].key}


def test_a_study_closed_and_opened_again_has_its_run(qtbot, viewer, open_head):
    open_head(viewer)
    run = run_and_keep(qtbot, viewer)
    viewer.commands.run("file.close")
    assert viewer.session.runs == ()
    open_head(viewer)
    qtbot.waitUntil(lambda: viewer.session.active_run is not None, timeout=30_000)
    assert viewer.session.active_run.key == run.key


def test_a_forgotten_run_is_gone_from_disk(qtbot, viewer, open_head):
    open_head(viewer)
    run = run_and_keep(qtbot, viewer)
    assert runs.folder(run.key).is_dir()
    viewer.session.remove_run(run.key)
    qtbot.waitUntil(lambda: not runs.folder(run.key).exists(), timeout=20_000)
    assert viewer.keeping.library.run_keys() == frozenset()


def test_a_damaged_run_costs_a_message(qtbot, make_viewer, open_head):
    first = make_viewer()
    open_head(first)
    run = run_and_keep(qtbot, first)
    first.window.close()
    (runs.folder(run.key) / "heatmap.nii.gz").write_bytes(b"damaged")
    second = make_viewer()
    open_head(second)
    qtbot.waitUntil(lambda: second.message_bar.shown is not None, timeout=30_000)
    assert "kept run" in second.message_bar.shown.text
    assert second.session.runs == ()


def test_nothing_is_swept_after_the_window_has_closed(qtbot, make_viewer):
    viewer = make_viewer()
    viewer._sweep.setInterval(50)
    viewer.window.close()
    qtbot.wait(200)  # a call on the closed library would fail this test
    assert not viewer._sweep.isActive()
