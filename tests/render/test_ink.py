"""The mask being corrected on the views: the touched box alone is renewed, and the result is as if all of it were."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QPainter

from brainviewer.render.geometry import PLANES, plane_geometry
from brainviewer.render.ink import Ink
from brainviewer.render.triplanar import TriplanarView
from brainviewer.state import Cursor, Display, Tool
from brainviewer.study.mask_edit import Box, whole
from tests.render.conftest import marked_volume

SHAPE = (24, 20, 16)
TURNED = np.array([[0, 0, 3.0], [-1.5, 0, 0], [0, 2.0, 0]])


def pixels(ink: Ink) -> np.ndarray:
    return ink._pixels.copy()


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("directions", [np.diag([-2.0, 2.0, 3.0]), TURNED], ids=["axial", "sagittal"])
def test_renewing_a_box_gives_the_same_as_cutting_the_slice_anew(plane, directions):
    volume = marked_volume(directions, SHAPE, (0, 0, 0))
    geometry = plane_geometry(volume, plane)
    random = np.random.default_rng(0)
    mask = (random.random(SHAPE) > 0.5).astype(np.uint8)
    index = geometry.count // 2
    ink = Ink(mask, "#4fc3f7")
    ink.cut(geometry, index)
    for _ in range(40):
        start = [int(random.integers(size)) for size in SHAPE]
        bounds = [(low, int(random.integers(low, size)) + 1) for low, size in zip(start, SHAPE, strict=True)]
        box = Box(*bounds)
        mask[box.slices] ^= (random.random(box.shape) > 0.3).astype(np.uint8)
        seen = ink.touch(geometry, index, box)
        low, high = box.axis(geometry.slices)
        assert (seen is not None) == (low <= index < high)
        fresh = Ink(mask, "#4fc3f7")
        fresh.cut(geometry, index)
        assert np.array_equal(pixels(ink), pixels(fresh))


def test_the_inside_is_faint_and_the_rim_is_strong():
    volume = marked_volume(np.eye(3), SHAPE, (0, 0, 0))
    mask = np.zeros(SHAPE, np.uint8)
    mask[5:12, 5:12, 8] = 1
    ink = Ink(mask, "#ffffff")
    ink.cut(plane_geometry(volume, "axial"), 8)
    alpha = pixels(ink) >> 24
    assert alpha[8, 8] < 100 < 200 < alpha[5, 8]
    assert alpha[0, 0] == 0


class Hand:
    """Notes what the views tell a painter."""

    def __init__(self) -> None:
        self.told: list[tuple] = []

    def press(self, voxel, axis, erase):
        self.told.append(("press", tuple(np.round(voxel).astype(int).tolist()), axis, erase))

    def move(self, voxel):
        self.told.append(("move", tuple(np.round(voxel).astype(int).tolist())))

    def release(self):
        self.told.append(("release",))


@pytest.fixture
def view(qtbot):
    tool = Tool()
    view = TriplanarView(Cursor(), Display(), tool)
    qtbot.addWidget(view)
    view.resize(660, 400)
    view.show()
    qtbot.waitExposed(view)
    view.set_volume(marked_volume(np.diag([2.0, 2.0, 2.0]), (40, 40, 40), (0, 0, 0)))
    qtbot.waitUntil(lambda: not view._scene.stale())
    yield view, tool
    view.close_vtk()


def middle(view: TriplanarView) -> QPoint:
    return view._scene.frame(view._scene.places()["axial"]).center().toPoint()


@pytest.mark.display
def test_the_left_button_paints_only_while_a_brush_is_held(qtbot, view):
    view, tool = view
    hand = Hand()
    view.correct(np.zeros((40, 40, 40), np.uint8), "#4fc3f7", hand)
    window = view._scene.display.window
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=middle(view))
    qtbot.mouseMove(view, middle(view) + QPoint(30, 0))
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=middle(view) + QPoint(30, 0))
    assert hand.told == []
    tool.paint = "brush"
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=middle(view))
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=middle(view))
    assert [name for name, *_ in hand.told] == ["press", "release"]
    _, voxel, axis, erase = hand.told[0]
    assert axis == 2
    assert not erase
    assert all(abs(at - 19) <= 2 for at in voxel)
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier, pos=middle(view))
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=middle(view))
    assert hand.told[2][3]
    assert view._scene.display.window == window or view._scene.display.window > 0


@pytest.mark.display
def test_a_touched_box_appears_without_drawing_the_views_again(qtbot, view):
    view, tool = view
    mask = np.zeros((40, 40, 40), np.uint8)
    view.correct(mask, "#4fc3f7", Hand())
    qtbot.waitUntil(lambda: not view._redraw.waits)
    editions = [view._scene.view(plane)._drawn_key for plane in PLANES]
    before = grabbed(view)
    mask[15:25, 15:25, 15:25] = 1
    view.touch(Box((15, 25), (15, 25), (15, 25)))
    qtbot.wait(50)
    after = grabbed(view)
    assert [view._scene.view(plane)._drawn_key for plane in PLANES] == editions
    for plane in PLANES:
        place = view._scene.places()[plane]
        part = np.s_[place.top : place.top + place.height, place.left : place.left + place.width]
        assert (before[part] != after[part]).any()
    mask[...] = 0
    view.touch(whole(mask.shape))
    qtbot.wait(50)
    assert np.array_equal(grabbed(view), before)


def grabbed(view: TriplanarView) -> np.ndarray:
    image = QImage(view.size(), QImage.Format.Format_RGB32)
    painter = QPainter(image)
    view._scene.paint(painter)
    painter.end()
    return np.array(image.constBits()).reshape(image.height(), image.width(), 4)[..., :3]


@pytest.mark.display
def test_shift_and_the_wheel_change_the_brush(qtbot, view):
    view, tool = view
    view.correct(np.zeros((40, 40, 40), np.uint8), "#4fc3f7", Hand())
    tool.paint = "brush"
    before = tool.radius_mm
    view._hand.wheel(*(middle(view).x(), middle(view).y()), 1.0, Qt.KeyboardModifier.ShiftModifier)
    assert tool.radius_mm > before
    view._hand.wheel(*(middle(view).x(), middle(view).y()), -1.0, Qt.KeyboardModifier.ShiftModifier)
    assert tool.radius_mm == pytest.approx(before)


@pytest.mark.display
def test_the_ring_under_the_pointer_has_the_size_of_the_brush(qtbot, view):
    view, tool = view
    view.correct(np.zeros((40, 40, 40), np.uint8), "#4fc3f7", Hand())
    tool.paint, tool.radius_mm = "brush", 10.0
    view._pointer = QPointF(middle(view))
    view._show_ring()
    one = view._scene.view("axial").mm_per_pixel
    assert view._ring._radius == pytest.approx(10.0 / one / view.devicePixelRatioF())
