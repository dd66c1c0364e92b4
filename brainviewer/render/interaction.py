"""Mouse and wheel -> state. Knows no widget: it is told buttons, points and keys, and moves cursor and views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Qt

from brainviewer.render.geometry import Plane
from brainviewer.render.scene import TriplanarScene
from brainviewer.state import Scheme, Tool

_LEFT, _MIDDLE, _RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton, Qt.MouseButton.RightButton
_SHIFT, _CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier

# What dragging a button does, by scheme. "Radiology" follows OHIF, Weasis and Horos; "neuro" ITK-SNAP and MITK.
DRAGS: dict[tuple[Scheme, Qt.MouseButton], str] = {
    ("radiology", _LEFT): "window",
    ("radiology", _MIDDLE): "pan",
    ("radiology", _RIGHT): "zoom",
    ("neuro", _LEFT): "crosshair",
    ("neuro", _MIDDLE): "pan",
    ("neuro", _RIGHT): "zoom",
}
# With Shift held the left button does what the other scheme does.
_SHIFTED = {"window": "crosshair", "crosshair": "window"}

# A press that moves less than this (logical pixels) is a click.
_CLICK = 4.0
# Dragging this far (logical pixels) changes the window by the automatic window's width.
_WINDOW_REACH = 400.0
_ZOOM_REACH = 150.0
_ZOOM_STEP = 1.15
_SIZE_STEP = 1.2


class Painter(Protocol):
    """Who corrects a mask under the reader's hand; places are continuous voxel indices."""

    def press(self, voxel: NDArray[np.float64], axis: int, erase: bool) -> None:
        """The brush touches a slice along a voxel axis."""

    def move(self, voxel: NDArray[np.float64]) -> None:
        """The brush goes on."""

    def release(self) -> None:
        """The brush is lifted."""


@dataclass(slots=True)
class _Drag:
    plane: Plane
    button: Qt.MouseButton
    does: str
    start: tuple[float, float]
    last: tuple[float, float]
    moved: bool = False


class Interaction:
    """The reader's hand on the views; points are device pixels of the whole surface.

    scale: device pixels in a logical pixel, so that a drag means the same on every screen.
    active: the view that was used last, which the slice keys act on.
    """

    def __init__(self, scene: TriplanarScene, tool: Tool) -> None:
        self._scene = scene
        self._tool = tool
        self._drag: _Drag | None = None
        self._wheel_rest = 0.0
        self.scale = 1.0
        self.active: Plane = "axial"
        self.painter: Painter | None = None

    @property
    def holds_brush(self) -> bool:
        """True while the left button paints."""
        return self.painter is not None and bool(self._tool.paint)

    @property
    def is_painting(self) -> bool:
        """True between pressing and lifting the brush."""
        return self._drag is not None and self._drag.does == "paint"

    def press(self, x: float, y: float, button: Qt.MouseButton, keys: Qt.KeyboardModifier) -> None:
        """A button goes down."""
        plane = self._scene.plane_at(x, y)
        does = DRAGS.get((self._tool.scheme, button))
        if plane is None or does is None or self._drag is not None:
            return
        self.active = plane
        if self.holds_brush and button == _LEFT:
            # With Shift held the left button does what it does without a brush.
            does = does if keys & _SHIFT else "paint"
        elif keys & _SHIFT:
            does = _SHIFTED.get(does, does)
        self._drag = _Drag(plane, button, does, (x, y), (x, y))
        if does == "crosshair":
            self._point(plane, x, y)
        elif does == "paint":
            self._touch_down(plane, x, y, erase=(self._tool.paint == "eraser") != bool(keys & _CONTROL))

    def _touch_down(self, plane: Plane, x: float, y: float, erase: bool) -> None:
        voxel, geometry = self._scene.voxel_at(plane, x, y), self._scene.view(plane).geometry
        if voxel is not None and geometry is not None and self.painter is not None:
            self.painter.press(voxel, geometry.slices, erase)

    def move(self, x: float, y: float, keys: Qt.KeyboardModifier) -> None:
        """The mouse moves, with or without a button."""
        if self._drag is None:
            plane = self._scene.plane_at(x, y)
            if plane is not None:
                self.active = plane
                if keys & _SHIFT:
                    self._point(plane, x, y)
            return
        drag = self._drag
        if drag.does == "paint":
            voxel = self._scene.voxel_at(drag.plane, x, y)
            if voxel is not None and self.painter is not None:
                self.painter.move(voxel)
            return
        if not drag.moved and max(abs(x - drag.start[0]), abs(y - drag.start[1])) < _CLICK * self.scale:
            return
        drag.moved = True
        across, down = x - drag.last[0], y - drag.last[1]
        drag.last = (x, y)
        acts: dict[str, Callable[[], None]] = {
            "window": lambda: self._window(across, down),
            "pan": lambda: self._scene.pan(drag.plane, across, down),
            "zoom": lambda: self._scene.zoom(drag.plane, float(np.exp(-down / self.scale / _ZOOM_REACH)), *drag.start),
            "crosshair": lambda: self._point(drag.plane, x, y),
        }
        acts[drag.does]()

    def release(self, button: Qt.MouseButton) -> str:
        """A button goes up; returns "menu" after a short right click, else ""."""
        drag = self._drag
        if drag is None or drag.button != button:
            return ""
        self._drag = None
        if drag.does == "paint" and self.painter is not None:
            self.painter.release()
            return ""
        if drag.moved:
            return ""
        if button == _LEFT:
            self._point(drag.plane, *drag.start)
        return "menu" if button == _RIGHT else ""

    def wheel(self, x: float, y: float, turns: float, keys: Qt.KeyboardModifier) -> None:
        """The wheel turns: one turn towards the reader (negative) is the next slice; with Ctrl it zooms."""
        plane = self._scene.plane_at(x, y)
        if plane is None:
            return
        self.active = plane
        if keys & _SHIFT and self.holds_brush:
            self._tool.radius_mm *= _SIZE_STEP**turns
            return
        if keys & _CONTROL:
            self._scene.zoom(plane, _ZOOM_STEP**turns, x, y)
            return
        # Touch pads send parts of a turn.
        self._wheel_rest -= turns
        whole = int(self._wheel_rest)
        if whole:
            self._wheel_rest -= whole
            self.step(plane, whole)

    def double_click(self, x: float, y: float) -> None:
        """Fill the window with the view, or show all views again."""
        plane = self._scene.plane_at(x, y)
        if plane is not None:
            self.active = plane
            self._scene.maximise(None if self._scene.maximised else plane)

    def step(self, plane: Plane, count: int) -> None:
        """Go `count` slices on (or back), stopping at the ends; the cursor comes to lie in the middle of the slice."""
        geometry = self._scene.view(plane).geometry
        if self._scene.volume is None or geometry is None:
            return
        voxel = geometry.voxel(self._scene.cursor.position_mm)
        here = geometry.slice_index(self._scene.cursor.position_mm)
        voxel[geometry.slices] = min(max(here + count, 0), geometry.count - 1)
        self._scene.cursor.move_to(geometry.position(voxel))

    def _point(self, plane: Plane, x: float, y: float) -> None:
        position = self._scene.position_at(plane, x, y)
        if position is not None:
            self._scene.cursor.move_to(position)

    def _window(self, across: float, down: float) -> None:
        display = self._scene.display
        step = self._scene.auto_width / _WINDOW_REACH / self.scale
        narrowest = self._scene.auto_width * 1e-3
        display.set_window(max(display.window + across * step, narrowest), display.level + down * step)
