"""The panel of iterations: the shrinking masks over the images, the threshold curve, another gamma."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt

from brainviewer.panels.iterations import GAMMA_STEPS, MASK
from brainviewer.panels.main_window import ITERATIONS
from tests.panels.watchdog import Watchdog, yardstick_s
from tests.window_engine import CURVE, SLOPES

pytestmark = pytest.mark.display


@pytest.fixture
def shrinking(qtbot, make_viewer, open_head):
    """A viewer with a run that has iterations."""
    viewer = make_viewer("detect_shrinking")
    viewer.detecting._again = "tests.window_engine:rethreshold"
    open_head(viewer)
    run_to_the_end(qtbot, viewer)
    return viewer


def run_to_the_end(qtbot, viewer):
    with qtbot.waitSignal(viewer.detecting.finished, timeout=60_000):
        viewer.engines_panel.run()


def drawn(viewer):
    """The mask of the iteration that lies over the images, or None."""
    layer = viewer.viewport.view._scene._layers.masks.get(MASK)
    return None if layer is None else layer.mask


def test_only_runs_with_iterations_have_the_panel(qtbot, viewer, open_head):
    open_head(viewer)
    run_to_the_end(qtbot, viewer)
    assert not viewer.window.panel_shown(ITERATIONS)
    viewer.detecting._function = "tests.window_engine:detect_shrinking"
    with qtbot.waitSignal(viewer.detecting.finished, timeout=60_000):
        viewer.detecting.run("other", "Other", viewer.engines_panel.model)
    assert viewer.window.panel_shown(ITERATIONS)
    viewer.window.toggle_images_only()
    assert not viewer.window.panel_shown(ITERATIONS)
    viewer.window.toggle_images_only()
    assert viewer.window.panel_shown(ITERATIONS)
    viewer.commands.run("analyse.next_run")
    assert not viewer.window.panel_shown(ITERATIONS)


def test_the_slider_goes_through_the_shrinking_masks(qtbot, shrinking):
    panel, run = shrinking.iterations, shrinking.session.active_run
    assert (panel._iteration.maximum(), panel._iteration.value()) == (3, 3)
    assert drawn(shrinking) is None  # nothing is laid over the images unasked
    sizes = []
    panel._iteration.setFocus()
    qtbot.keyClick(panel._iteration, Qt.Key.Key_Home)
    assert panel._show.isChecked()  # moving through the masks means to see them
    for number in range(4):
        assert panel._iteration.value() == number
        qtbot.waitUntil(lambda: drawn(shrinking) is not None)
        qtbot.wait(20)
        sizes.append(int(drawn(shrinking).sum()))
        qtbot.keyClick(panel._iteration, Qt.Key.Key_Right)
    assert sizes[0] == run.result.region.sum()
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3  # two of the limits leave the bright spot only
    assert "iteration 3 of 3" in panel._iteration_text.text()
    shrinking.masks.changed.emit()  # another mask came or went: the viewport draws its own ones anew
    qtbot.wait(50)
    assert drawn(shrinking) is not None
    panel._show.setChecked(False)
    qtbot.waitUntil(lambda: drawn(shrinking) is None)


def test_gamma_moves_the_threshold_on_the_curve_at_once(shrinking):
    panel = shrinking.iterations
    step = int(np.argmax(SLOPES > 0.02)) + 1
    assert panel.gamma == 0.02
    assert panel._plot.marked() == pytest.approx((step, CURVE[step - 1]))
    assert "in use" in panel._gamma_text.text()
    assert not panel._again.isEnabled()
    panel._gamma.setValue(GAMMA_STEPS // 3)
    assert panel._again.isEnabled()
    step = int(np.argmax(panel.gamma < SLOPES)) + 1
    assert panel._plot.marked() == pytest.approx((step, CURVE[step - 1]))
    assert f"percentile {step}" in panel._gamma_text.text()
    panel._gamma.setValue(GAMMA_STEPS)
    assert panel._plot.marked() is None
    assert "never" in panel._gamma_text.text()


def test_another_gamma_replaces_the_run(qtbot, shrinking):
    panel, before = shrinking.iterations, shrinking.session.active_run
    panel._show.setChecked(True)
    panel._gamma.setValue(GAMMA_STEPS // 2)
    wanted = panel.gamma
    watchdog = Watchdog()
    with qtbot.waitSignal(shrinking.detecting.finished, timeout=60_000) as got:
        panel._again.click()
        assert not panel._again.isEnabled()
    run = got.args[0]
    assert shrinking.session.runs == (run,)
    assert run.key != before.key
    assert run.result.provenance.settings["gamma"] == pytest.approx(wanted)
    assert panel.gamma == pytest.approx(wanted)
    assert "in use" in panel._gamma_text.text()
    qtbot.waitUntil(lambda: drawn(shrinking) is not None)
    assert drawn(shrinking).sum() == np.count_nonzero(run.result.extras["iteration masks"] & 8)
    # Two refreshes of the whole window; work of the engine would take seconds.
    assert watchdog.stop()[1] < 2 * yardstick_s()
    qtbot.waitUntil(lambda: [entry.key for entry in library_runs(shrinking)] == [run.key], timeout=20_000)


def library_runs(viewer):
    return viewer.keeping.library.runs(viewer.session.study.uid)


def test_a_kept_run_still_has_its_iterations(qtbot, shrinking, make_viewer, open_head):
    bits = shrinking.session.active_run.result.extras["iteration masks"]
    qtbot.waitUntil(lambda: len(library_runs(shrinking)) == 1, timeout=20_000)
    shrinking.window.close()
    again = make_viewer("detect_shrinking")
    open_head(again)
    qtbot.waitUntil(lambda: again.session.active_run is not None, timeout=30_000)
    assert again.window.panel_shown(ITERATIONS)
    assert np.array_equal(again.iterations._found.bits, bits)
