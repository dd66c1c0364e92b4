"""The widget under a real mouse."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from brainviewer.render.triplanar import TriplanarView
from brainviewer.state import Cursor, Display, Tool
from engines import KnownError, Volume

LEFT, MIDDLE, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton, Qt.MouseButton.RightButton
AXIAL, SAGITTAL = QPoint(180, 220), QPoint(520, 100)


class Bench:
    """A shown view with its state, and a hand on the mouse."""

    def __init__(self, qtbot: QtBot) -> None:
        self.cursor, self.display, self.tool = Cursor(), Display(), Tool()
        self.view = TriplanarView(self.cursor, self.display, self.tool)
        self.qtbot = qtbot
        qtbot.addWidget(self.view)
        self.view.resize(640, 400)
        random = np.random.default_rng(3)
        voxels = np.zeros((64, 56, 40), np.float32)
        voxels[4:-4, 4:-4] = random.uniform(100, 900, (56, 48, 40))
        self.volume = Volume(voxels, np.diag([-1.0, -1.0, 1.5, 1.0]), "T1")
        self.view.set_volume(self.volume)
        self.view.show()
        qtbot.waitExposed(self.view)

    def position_at(self, at: QPoint) -> np.ndarray | None:
        scale = self.view.devicePixelRatioF()
        return self.view._scene.position_at("axial", at.x() * scale, at.y() * scale)

    def voxel(self) -> np.ndarray:
        return np.linalg.inv(self.volume.affine)[:3] @ [*self.cursor.position_mm, 1]

    def drag(
        self,
        button: Qt.MouseButton,
        start: QPoint,
        by: tuple[int, int],
        keys: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
    ) -> None:
        self.qtbot.mousePress(self.view, button, keys, start)
        for part in (0.5, 1.0):
            at = start + QPoint(round(by[0] * part), round(by[1] * part))
            _move(self.view, at, button, keys)
        self.qtbot.mouseRelease(self.view, button, keys, start + QPoint(*by))

    def wheel(self, at: QPoint, turns: float, keys: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        nothing = QPoint(0, 0)
        event = QWheelEvent(
            QPointF(at),
            QPointF(self.view.mapToGlobal(at)),
            nothing,
            QPoint(0, round(120 * turns)),
            Qt.MouseButton.NoButton,
            keys,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(self.view, event)


def _move(view: TriplanarView, at: QPoint, button: Qt.MouseButton, keys: Qt.KeyboardModifier) -> None:
    """qtbot.mouseMove cannot hold a button or a key."""
    position, on_screen = QPointF(at), QPointF(view.mapToGlobal(at))
    event = QMouseEvent(QEvent.Type.MouseMove, position, on_screen, Qt.MouseButton.NoButton, button, keys)
    QApplication.sendEvent(view, event)


@pytest.fixture
def bench(qtbot: QtBot) -> Iterator[Bench]:
    bench = Bench(qtbot)
    yield bench
    bench.view.close_vtk()


def test_a_new_volume_is_shown_from_its_middle_with_a_window(bench: Bench) -> None:
    assert np.abs(bench.voxel() - (31.5, 27.5, 19.5)).max() <= 0.5
    assert bench.display.window == pytest.approx(800, abs=60)
    assert bench.display.level == pytest.approx(500, abs=40)


def test_a_window_that_was_chosen_before_is_kept(bench: Bench) -> None:
    bench.display.set_window(80, 40)
    bench.view.set_volume(bench.volume)
    assert (bench.display.window, bench.display.level) == (80, 40)


def test_left_drag_changes_window_and_level(bench: Bench) -> None:
    window, level, voxel = bench.display.window, bench.display.level, bench.voxel()
    bench.drag(LEFT, AXIAL, (100, 0))
    assert bench.display.window == pytest.approx(window * 1.25, rel=0.02)
    assert bench.display.level == pytest.approx(level)
    bench.drag(LEFT, AXIAL, (0, -100))
    assert bench.display.level == pytest.approx(level - window * 0.25, rel=0.05), "up is brighter"
    assert np.array_equal(bench.voxel(), voxel), "a drag is no click"
    bench.drag(LEFT, AXIAL, (-2000, 0))
    assert bench.display.window > 0


def test_a_click_sets_the_crosshair_in_the_plane_of_the_view(bench: Bench) -> None:
    slice_before = bench.voxel()[2]
    bench.qtbot.mouseClick(bench.view, LEFT, pos=AXIAL)
    first = bench.voxel()
    bench.qtbot.mouseClick(bench.view, LEFT, pos=AXIAL + QPoint(30, 0))
    assert bench.voxel()[2] == pytest.approx(slice_before)
    assert bench.cursor.position_mm[0] < -first[0], "the screen's right is patient left (-R)"
    assert bench.voxel()[1] == pytest.approx(first[1])


def test_shift_and_move_drags_the_crosshair_through_all_views(bench: Bench) -> None:
    _move(bench.view, SAGITTAL, Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier)
    still = bench.voxel()
    _move(bench.view, SAGITTAL, Qt.MouseButton.NoButton, Qt.KeyboardModifier.ShiftModifier)
    first = bench.voxel()
    _move(bench.view, SAGITTAL + QPoint(20, 15), Qt.MouseButton.NoButton, Qt.KeyboardModifier.ShiftModifier)
    assert not np.array_equal(still, first)
    assert bench.voxel()[1] > first[1], "to the right is posterior"
    assert bench.voxel()[2] < first[2], "down is inferior"


def test_the_neuro_scheme_drags_the_crosshair_with_the_left_button(bench: Bench) -> None:
    bench.tool.scheme = "neuro"
    window, voxel = bench.display.window, bench.voxel()
    bench.drag(LEFT, AXIAL, (40, 20))
    assert bench.display.window == window
    assert not np.array_equal(bench.voxel(), voxel)
    bench.drag(LEFT, AXIAL, (40, 0), Qt.KeyboardModifier.ShiftModifier)
    assert bench.display.window > window


def test_the_wheel_turns_slices_and_zooms_with_control(bench: Bench) -> None:
    start = round(bench.voxel()[2])
    bench.wheel(AXIAL, -1)
    bench.wheel(AXIAL, -0.5)
    bench.wheel(AXIAL, -0.5)
    assert round(bench.voxel()[2]) == start + 2
    bench.wheel(AXIAL, 3)
    assert round(bench.voxel()[2]) == start - 1
    before = bench.position_at(AXIAL)
    bench.wheel(AXIAL, 4, Qt.KeyboardModifier.ControlModifier)
    after = bench.position_at(AXIAL)
    assert after == pytest.approx(before)
    assert round(bench.voxel()[2]) == start - 1


def test_steps_stop_at_the_ends_and_the_view_under_the_mouse_is_active(bench: Bench) -> None:
    bench.view.step("axial", 1000)
    assert bench.voxel()[2] == pytest.approx(39)
    bench.view.step("axial", -1000)
    assert bench.voxel()[2] == pytest.approx(0)
    _move(bench.view, SAGITTAL, Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier)
    assert bench.view.active_plane == "sagittal"


def test_middle_drag_pans_and_right_drag_zooms(bench: Bench) -> None:
    scene = bench.view._scene
    before = bench.position_at(AXIAL)
    bench.drag(MIDDLE, AXIAL, (30, -20))
    moved = bench.position_at(AXIAL + QPoint(30, -20))
    assert moved == pytest.approx(before)
    asked: list[QPoint] = []
    bench.view.context_menu_requested.connect(asked.append)
    size = scene.view("axial").pixel_of((10.0, 0, 0)) - scene.view("axial").pixel_of((0.0, 0, 0))
    bench.drag(RIGHT, AXIAL, (0, -60))
    scene.stale()
    larger = scene.view("axial").pixel_of((10.0, 0, 0)) - scene.view("axial").pixel_of((0.0, 0, 0))
    assert abs(larger[0]) > 1.2 * abs(size[0])
    assert asked == [], "a long right drag asks for no menu"
    bench.qtbot.mouseClick(bench.view, RIGHT, pos=AXIAL)
    assert asked == [bench.view.mapToGlobal(AXIAL)]


def test_double_click_fills_the_window_and_restores(bench: Bench) -> None:
    bench.qtbot.mouseDClick(bench.view, LEFT, pos=SAGITTAL)
    assert bench.view.maximised == "sagittal"
    assert bench.view.active_plane == "sagittal"
    bench.qtbot.mouseDClick(bench.view, LEFT, pos=AXIAL)
    assert bench.view.maximised is None


def test_hovering_reports_the_position_and_leaving_none(bench: Bench) -> None:
    seen: list[object] = []
    bench.view.hovered.connect(seen.append)
    _move(bench.view, AXIAL, Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier)
    _move(bench.view, QPoint(1, 1), Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier)
    position = seen[0]
    assert isinstance(position, np.ndarray)
    assert position.shape == (3,)
    assert seen[-1] is None


def test_the_png_has_the_views_and_says_research_use(bench: Bench, tmp_path: Path) -> None:
    bench.display.annotations = False
    bench.view.grab_png(tmp_path / "with.png")
    saved = QImage(str(tmp_path / "with.png"))
    scale = bench.view.devicePixelRatioF()
    assert (saved.width(), saved.height()) == (round(640 * scale), round(400 * scale))
    grey = saved.scaled(640, 400).convertToFormat(QImage.Format.Format_Grayscale8)
    bright = np.array(grey.constBits()).reshape(400, 640)
    assert bright[100:300, 120:280].mean() > 60, "the brain is there"
    assert bright[383:397, 100:300].max() > 90, "letters and words are written although they are off on screen"
    with pytest.raises(KnownError, match="could not be saved"):
        bench.view.grab_png(tmp_path / "no such folder" / "x.png")


def test_the_widget_repaints_after_a_change(bench: Bench) -> None:
    bench.qtbot.waitUntil(lambda: bench.view._scene.stale() == [], timeout=5000)
    before = bench.view.grab().toImage()
    bench.display.invert = True
    bench.qtbot.waitUntil(lambda: bench.view._scene.stale() == [], timeout=5000)
    assert bench.view.grab().toImage() != before


def test_closing_twice_and_using_it_after_is_harmless(bench: Bench) -> None:
    bench.view.close_vtk()
    bench.view.close_vtk()
    bench.view.set_volume(bench.volume)
    bench.view.set_volume(None)
    bench.view.grab()


def test_no_volume_needs_nothing(qtbot: QtBot) -> None:
    view = TriplanarView(Cursor(), Display(), Tool())
    qtbot.addWidget(view)
    view.show()
    qtbot.mouseClick(view, LEFT, pos=QPoint(50, 50))
    view.step("axial", 1)
    view.maximise("axial")
    view.set_heatmap(None)
    image = view.grab().toImage()
    everywhere = (image.pixelColor(x, y) for x in range(0, image.width(), 7) for y in range(0, image.height(), 7))
    assert {colour.name() for colour in everywhere} == {"#000000"}, "black and nothing else"


@pytest.mark.parametrize("factor", ["1.25", "2"])
@pytest.mark.skipif("QT_SCALE_FACTOR" in os.environ, reason="this is the run at another scale")
def test_the_mouse_is_as_exact_on_dense_screens(factor: str) -> None:
    """All of the above again where a logical pixel has more than one device pixel."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
        env={**os.environ, "QT_SCALE_FACTOR": factor},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
