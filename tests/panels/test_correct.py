"""The Correct workspace with real workers, mouse and keys."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt

from brainviewer.panels.correct_bar import CorrectBar
from brainviewer.storage import corrections
from brainviewer.study.mask_edit import SliceState
from tests.panels.watchdog import Watchdog, yardstick_s

pytestmark = pytest.mark.display


@pytest.fixture
def correcting(qtbot, viewer, open_head):
    """A viewer that corrects the bright spot's mask, with its slice in view."""
    open_head(viewer)
    with qtbot.waitSignal(viewer.detecting.finished, timeout=60_000):
        viewer.engines_panel.run()
    viewer.display.threshold = 90.0
    viewer.cursor.move_to([16.0, -12.0, 15.0])
    viewer.commands.run("correct.workspace")
    qtbot.waitUntil(lambda: not viewer.correcting.busy, timeout=30_000)
    viewer.commands.refresh()
    viewer.commands.run("correct.begin")
    qtbot.waitUntil(lambda: viewer.correct.ready, timeout=30_000)
    viewer.viewport.view.setFocus()
    settle(qtbot, viewer)
    return viewer


def settle(qtbot, viewer):
    view = viewer.viewport.view
    qtbot.waitUntil(lambda: not view._scene.stale() and not view._redraw.waits, timeout=20_000)


def at(viewer, across=0, down=0):
    view = viewer.viewport.view
    place = view._scene.frame(view._scene.places()["axial"])
    pixel = view._scene.view("axial").pixel_of(viewer.cursor.position_mm) / view.devicePixelRatioF()
    return (place.topLeft().toPoint() + QPoint(round(pixel[0]), round(pixel[1]))) + QPoint(across, down)


def drag(qtbot, viewer, *places, keys=Qt.KeyboardModifier.NoModifier):
    view = viewer.viewport.view
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, keys, places[0])
    for place in places[1:]:
        qtbot.mouseMove(view, place)
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, keys, places[-1])
    qtbot.wait(20)  # the commands follow in the next turn


def bar(viewer):
    return viewer.window.findChild(CorrectBar)


def test_without_a_run_the_workspace_says_what_is_missing(qtbot, viewer, open_head):
    open_head(viewer)
    viewer.commands.run("correct.workspace")
    qtbot.waitUntil(lambda: not viewer.correcting.busy, timeout=30_000)
    assert "choose an engine" in bar(viewer)._hint.text()
    assert not viewer.commands.qaction("correct.brush").isEnabled()


def test_it_begins_with_the_mask_of_the_run_at_the_threshold(correcting):
    run = correcting.session.active_run
    expected = (run.percentiles > 90.0) & run.result.region
    assert expected.any()
    assert np.array_equal(correcting.correct.correction.mask, expected)
    (about,) = corrections.of_series(correcting.session.series.uid)
    assert about.run == run.key
    assert about.percentile == 90.0


def test_a_stroke_paints_and_undo_and_redo_follow(qtbot, correcting):
    correction = correcting.correct.correction
    before = correction.mask.copy()
    window = correcting.display.window
    qtbot.keyClick(correcting.viewport.view, Qt.Key.Key_B)
    assert correcting.tool.paint == "brush"
    drag(qtbot, correcting, at(correcting, 40), at(correcting, 60, 10), at(correcting, 80))
    painted = correction.mask.copy()
    assert painted.sum() > before.sum()
    assert correction.state(correcting.correct.index) is SliceState.CORRECTED
    assert correcting.display.window == window
    assert np.array_equal(correction.automatic, before)
    qtbot.keyClick(correcting.viewport.view, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(correction.mask, before)
    qtbot.wait(20)
    qtbot.keyClick(correcting.viewport.view, Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(correction.mask, painted)
    drag(qtbot, correcting, at(correcting, 40), at(correcting, 80), keys=Qt.KeyboardModifier.ControlModifier)
    assert correction.mask.sum() < painted.sum()


def test_painting_does_not_draw_the_views_again_and_never_holds_up_the_window(qtbot, correcting):
    view = correcting.viewport.view
    correcting.commands.run("correct.brush")
    correcting.commands.run("correct.solid")
    correcting.tool.radius_mm = 12
    settle(qtbot, correcting)
    qtbot.wait(200)
    drawn = [view._scene.view(plane)._drawn_key for plane in ("axial", "sagittal", "coronal")]
    busy = []
    for _ in range(3):
        # Garbage of earlier tests is not the window's doing, nor is one unlucky round.
        gc.collect()
        watchdog = Watchdog()
        for number in range(6):
            drag(qtbot, correcting, at(correcting, 20 * number, 30), at(correcting, 20 * number + 15, -20))
            qtbot.wait(20)
        busy.append(watchdog.stop()[1])
        correcting.correct.say("reopen")
    assert [view._scene.view(plane)._drawn_key for plane in ("axial", "sagittal", "coronal")] == drawn
    assert min(busy) < yardstick_s(), busy


def test_the_heatmap_holds_the_brush_back_and_without_one_nothing_is_painted(qtbot, correcting):
    correction, tool = correcting.correct.correction, correcting.tool
    before = correction.mask.copy()
    tool.paint, tool.guide, tool.guide_percentile, tool.radius_mm = "brush", "heatmap", 50.0, 30.0
    drag(qtbot, correcting, at(correcting), at(correcting, 20))
    added = (correction.mask > 0) & (before == 0)
    percentiles = correcting.session.active_run.percentiles
    assert (percentiles[added] > 50.0).all()
    correcting.correcting.undo()
    correcting.session.remove_run(correcting.session.active_run.key)
    drag(qtbot, correcting, at(correcting), at(correcting, 20))
    assert np.array_equal(correction.mask, before)
    assert "no heatmap" in correcting.message_bar.shown.text


def test_verdicts_by_key_are_said_shown_and_counted(qtbot, correcting):
    view, desk = correcting.viewport.view, correcting.correct
    for key, state in (
        (Qt.Key.Key_Return, SliceState.CONFIRMED),
        (Qt.Key.Key_Backspace, SliceState.REJECTED),
        (Qt.Key.Key_V, SliceState.CONFIRMED),
    ):
        qtbot.keyClick(view, key)
        assert desk.state is state
    assert "confirmed" in bar(correcting)._slice.text()
    assert "1 of" in bar(correcting)._progress.text()
    assert correcting.strip.strip._states[desk.index] == SliceState.CONFIRMED
    qtbot.keyClick(view, Qt.Key.Key_V, Qt.KeyboardModifier.ShiftModifier)
    assert desk.state is SliceState.AUTO


def test_larger_steps_are_done_by_the_worker_on_a_slice_or_on_everything(qtbot, correcting):
    correction, desk = correcting.correct.correction, correcting.correct
    before = correction.mask.copy()
    others = np.arange(correction.mask.shape[2]) != desk.index
    for solid in (False, True):
        for name in ("grow", "shrink", "smooth", "fill", "keep_island", "remove_island"):
            correcting.tool.solid = solid
            desk.operate(name)
            assert correcting.correcting.busy
            qtbot.waitUntil(lambda: desk.ready, timeout=30_000)
            change = int(correction.mask.sum()) - int(before.sum())
            assert {"grow": change > 0, "shrink": change < 0, "remove_island": change < 0}.get(name, True), name
            if not solid:
                assert np.array_equal(correction.mask[:, :, others], before[:, :, others])
            correcting.correcting.undo()
            while correction.edits:
                correcting.correcting.undo()
            assert np.array_equal(correction.mask, before)


def test_interpolation_between_two_verdicts(qtbot, correcting):
    desk = correcting.correct
    middle = desk.index
    for index in (middle - 2, middle + 2):
        desk.go_to(index)
        desk.say("accept")
    desk.go_to(middle)
    correcting.commands.run("correct.interpolate")
    qtbot.waitUntil(lambda: desk.state is SliceState.INTERPOLATED, timeout=30_000)
    assert [desk.correction.state(middle + step) for step in (-2, -1, 1, 2)] == [
        SliceState.CONFIRMED,
        SliceState.INTERPOLATED,
        SliceState.INTERPOLATED,
        SliceState.CONFIRMED,
    ]


def test_copying_goes_on_and_the_next_uncertain_slice_is_an_undecided_one(qtbot, correcting):
    desk = correcting.correct
    here = desk.index
    mask = desk.correction.mask
    correcting.commands.run("correct.copy_on")
    assert desk.index == here + 1
    assert np.array_equal(mask[:, :, here], mask[:, :, here + 1])
    here = desk.index
    correcting.display.threshold = 50.0  # the phantom's tissue lies close to it
    correcting.commands.run("correct.next_uncertain")
    qtbot.waitUntil(lambda: desk.index != here, timeout=30_000)
    assert desk.state is SliceState.AUTO


def test_leaving_and_coming_back_and_another_window_find_what_was_left(qtbot, correcting, make_viewer, head):
    correcting.commands.run("correct.brush")
    drag(qtbot, correcting, at(correcting, 30), at(correcting, 60))
    mask = correcting.correct.correction.mask.copy()
    correcting.workspaces.choose("View")
    assert correcting.tool.paint == ""
    assert correcting.viewport.view._scene.view("axial").ink is None
    correcting.workspaces.choose("Correct")
    assert np.array_equal(correcting.correct.correction.mask, mask)
    assert correcting.viewport.view._scene.view("axial").ink is not None
    left = correcting.correct.correction.mask.copy()
    steps = len(correcting.correct.correction.edits)
    correcting.window.close()
    other = make_viewer()
    other.open([head])
    qtbot.waitUntil(lambda: other.session.complete, timeout=60_000)
    other.commands.run("correct.workspace")
    qtbot.waitUntil(lambda: other.correct.ready, timeout=30_000)
    assert np.array_equal(other.correct.correction.mask, left)
    assert len(other.correct.correction.edits) == steps
    assert other.correcting.interrupted is None
    other.commands.run("correct.undo")
    assert other.correct.correction.mask.sum() < left.sum()


def test_a_folder_that_cannot_be_written_is_told_and_the_work_stays(qtbot, viewer, open_head, home):
    (home / "data").mkdir(exist_ok=True)
    (home / "data" / "corrections").write_text("in the way")
    open_head(viewer)
    with qtbot.waitSignal(viewer.detecting.finished, timeout=60_000):
        viewer.engines_panel.run()
    viewer.display.threshold = 90.0
    viewer.cursor.move_to([16.0, -12.0, 15.0])
    viewer.commands.run("correct.workspace")
    qtbot.waitUntil(lambda: not viewer.correcting.busy, timeout=30_000)
    viewer.correct.begin()
    qtbot.waitUntil(lambda: viewer.correct.ready, timeout=30_000)
    viewer.correct.say("reject")
    assert "corrections" in viewer.message_bar.shown.text
    assert viewer.correcting.unsaved == 1
    assert "not saved" in bar(viewer)._progress.text()
    (home / "data" / "corrections").unlink()
    viewer.correcting._saving.catch_up()
    assert viewer.correcting.unsaved == 0
    (about,) = corrections.of_series(viewer.session.series.uid)
    loaded = corrections.load(corrections.folder(about))
    assert np.array_equal(loaded.correction.mask, viewer.correct.correction.mask)


def test_another_readers_corrections_come_in_and_are_compared(qtbot, correcting, tmp_path):
    files, desk = correcting.correct.files, correcting.correct
    desk.say("accept")
    files.export(tmp_path / "out", "nifti")
    qtbot.waitUntil(lambda: list((tmp_path / "out").glob("*.json")) != [], timeout=30_000)
    (exported,) = (tmp_path / "out").glob("*.json")
    assert list((tmp_path / "out").glob("*_scan.nii.gz"))
    files.set_reader("Dr B")
    qtbot.waitUntil(lambda: not correcting.correcting.busy, timeout=30_000)
    assert desk.correction is None
    files.take_in(exported)
    qtbot.waitUntil(lambda: len(corrections.of_series(correcting.session.series.uid)) == 2, timeout=30_000)
    # Imported corrections stay their reader's.
    assert {about.reader for about in corrections.of_series(correcting.session.series.uid)} == {"Reader"}
    # A reader whose corrections are still looked for presses again.
    qtbot.waitUntil(lambda: bool(desk.ready or desk.begin()), timeout=30_000)
    desk.say("accept")
    with qtbot.waitSignal(correcting.messages.posted, timeout=30_000) as told:
        files.agree()
    assert "Dr B and Reader on 1 slices: Dice 1.00" in told.args[0].text
