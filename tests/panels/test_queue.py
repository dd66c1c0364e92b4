"""Runs on studies of the library, one after the other."""

from __future__ import annotations

import shutil

import pytest

from brainviewer.app import Viewer
from brainviewer.storage.queue import Order
from tests.panels.conftest import ENGINE, write_head

pytestmark = pytest.mark.display


@pytest.fixture
def with_queue(qapp, qtbot, model):
    """A viewer whose queue runs the small engine."""
    made = []

    def make(queued="run_queued"):
        viewer = Viewer(detect=ENGINE + "detect", queued=ENGINE + queued)
        made.append(viewer)
        qtbot.addWidget(viewer.window)
        viewer.show()
        return viewer

    yield make
    for viewer in made:
        viewer.window.close()


@pytest.fixture
def two_studies(qtbot, tmp_path):
    def open_them(viewer):
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            write_head(folder / "head_flair.nii.gz", bright=(40, 30, 25 if name == "one" else 20))
            viewer.open([folder])
            qtbot.waitUntil(lambda name=name: viewer.session.complete, timeout=60_000)
            viewer.session.close_study(viewer.session.study.uid)

    return open_them


def states(viewer):
    return [entry.state for entry in viewer.queueing.entries]


def test_the_button_over_the_library_runs_everything_that_is_listed(qtbot, with_queue, two_studies, monkeypatch):
    viewer = with_queue()
    two_studies(viewer)
    asked = []
    monkeypatch.setattr(viewer.window, "ask", lambda title, question: asked.append(question) or True)
    viewer.shelf._run.click()
    qtbot.waitUntil(lambda: len(viewer.queueing.entries) >= 2)
    assert "on 2 studies" in asked[0]
    qtbot.waitUntil(lambda: set(states(viewer)) == {"done"}, timeout=60_000)
    library = viewer.keeping.library
    runs = [run for study in library.studies() for run in library.runs(study.uid)]
    assert len(runs) == len(viewer.queueing.entries)
    viewer.queueing.clear()
    viewer.shelf._run.click()
    assert len(asked) == 1, "what is in the library already is not run again"


def test_a_run_of_the_queue_appears_on_the_study_that_is_open(qtbot, with_queue, head):
    viewer = with_queue()
    viewer.open([head])
    qtbot.waitUntil(lambda: viewer.session.complete, timeout=60_000)
    viewer.queueing.add([order_for(viewer)])
    qtbot.waitUntil(lambda: len(viewer.session.runs) == 1, timeout=60_000)
    assert viewer.session.active_run.title == "Small engine"


def test_the_sample_study_ends_in_the_comparison_of_all_engines(qtbot, with_queue, sample_study, home):
    shutil.copytree(sample_study, home / "cache" / "demo")
    viewer = with_queue()
    viewer.viewport.empty.demo.click()
    qtbot.waitUntil(lambda: viewer.workspaces.chosen == "Compare", timeout=120_000)
    qtbot.waitUntil(lambda: set(states(viewer)) == {"done"}, timeout=120_000)
    count = len(viewer.queueing.entries)
    assert count > 1
    qtbot.waitUntil(lambda: len(viewer.compare.views) == min(count, 4), timeout=60_000)
    viewer.window.close()
    again = with_queue()
    again.viewport.empty.demo.click()
    qtbot.waitUntil(lambda: len(again.session.study_runs) == count, timeout=60_000)
    assert len(again.queueing.entries) == count, "nothing is run a second time"


def order_for(viewer, number=0):
    study = viewer.keeping.library.studies()[number]
    (uid, _), *_ = viewer.keeping.library.series(study.uid)
    model = viewer.engines_panel.models[0]
    return Order(study.uid, study.title, study.path, uid, "small", model.folder, "Small engine")


def test_a_failed_run_says_why_stops_no_other_and_can_be_tried_again(qtbot, with_queue, two_studies):
    viewer = with_queue("refuse_queued")
    two_studies(viewer)
    viewer.queueing.add([order_for(viewer, 0), order_for(viewer, 1)])
    qtbot.waitUntil(lambda: states(viewer) == ["failed", "failed"], timeout=60_000)
    assert "too small" in viewer.queueing.entries[0].message
    panel = viewer.queue_panel
    # The table follows its queue a moment later.
    qtbot.waitUntil(lambda: panel.table.item(1, 2) is not None, timeout=20_000)
    qtbot.waitUntil(lambda: "too small" in panel.table.item(1, 2).text(), timeout=20_000)
    viewer.queueing._function = ENGINE + "run_queued"
    viewer.queueing.retry()
    qtbot.waitUntil(lambda: states(viewer) == ["done", "done"], timeout=60_000)


def test_a_window_that_closes_leaves_the_rest_to_the_next_start(qtbot, with_queue, two_studies):
    viewer = with_queue("run_queued_slowly")
    two_studies(viewer)
    viewer.queueing.add([order_for(viewer, 0), order_for(viewer, 1)])
    qtbot.waitUntil(lambda: "step" in viewer.queue_panel.said(viewer.queueing.entries[0]), timeout=60_000)
    viewer.window.close()
    again = with_queue()
    assert states(again)[1] == "waiting"
    qtbot.waitUntil(lambda: states(again) == ["done", "done"], timeout=60_000)


def test_nothing_begins_before_what_was_left_is_taken_up(qtbot, with_queue, two_studies):
    viewer = with_queue("run_queued_slowly")
    viewer._take_up.stop()
    two_studies(viewer)
    viewer.queueing.add([order_for(viewer, 0)])
    qtbot.wait(200)
    assert viewer.queueing.job is None
    viewer.queueing.take_up()
    qtbot.waitUntil(lambda: states(viewer) == ["working"], timeout=20_000)


def test_stop_ends_the_run_in_work_and_the_rest(qtbot, with_queue, two_studies):
    viewer = with_queue("run_queued_slowly")
    two_studies(viewer)
    viewer.queueing.add([order_for(viewer, 0), order_for(viewer, 1)])
    qtbot.waitUntil(lambda: states(viewer)[0] == "working", timeout=60_000)
    viewer.queueing.stop()
    qtbot.waitUntil(lambda: states(viewer) == ["stopped", "stopped"], timeout=20_000)
