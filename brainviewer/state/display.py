"""How the open volume and its heatmap are shown: values that every view reads and listens to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar, overload

from PySide6.QtCore import QObject, Signal

T = TypeVar("T")


class _Watched(Generic[T]):
    """A property of Display that announces its changes by name."""

    def __init__(self, default: T, check: Callable[[T], T]) -> None:
        self._default = default
        self._check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, display: None, owner: type) -> _Watched[T]: ...
    @overload
    def __get__(self, display: Display, owner: type) -> T: ...
    def __get__(self, display: Display | None, owner: type) -> T | _Watched[T]:
        if display is None:
            return self
        value: T = display.__dict__.get(self._name, self._default)
        return value

    def __set__(self, display: Display, value: T) -> None:
        value = self._check(value)
        if value != self.__get__(display, type(display)):
            display.__dict__[self._name] = value
            display.changed.emit(self._name)


def _flag(default: bool) -> _Watched[bool]:
    return _Watched(default, bool)


def _number(default: float, low: float = float("-inf"), high: float = float("inf")) -> _Watched[float]:
    return _Watched(default, lambda value: min(max(float(value), low), high))


class Display(QObject):
    """Window, orientation and heatmap settings shared by all views.

    Values outside their range are brought to its nearest end.

    window, level: grey values from level - window/2 (black) to level + window/2 (white); window 0 = not chosen yet.
    invert: white for black. interpolate: smooth between voxels.
    radiological: patient left on the right of the screen.
    annotations, crosshair: text on the views; the linked lines.
    heatmap_visible, palette, opacity, contour: how the heatmap is drawn.
    threshold: healthy percentile above which the heatmap is drawn.

    Signals:
        changed(str): the name of the property that has another value now.
    """

    changed = Signal(str)

    window = _number(0.0, low=0.0)
    level = _number(0.0)
    invert = _flag(False)
    radiological = _flag(True)
    interpolate = _flag(True)
    annotations = _flag(True)
    crosshair = _flag(True)
    heatmap_visible = _flag(True)
    palette: _Watched[str] = _Watched("inferno", str)
    opacity = _number(0.6, 0.0, 1.0)
    threshold = _number(99.0, 50.0, 99.99)
    contour = _flag(False)

    def set_window(self, window: float, level: float) -> None:
        """Change window and level together; two signals at most."""
        self.level = level
        self.window = window
