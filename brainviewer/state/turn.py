"""Work that may wait for a turn of the event loop of its own."""

from __future__ import annotations

from collections import deque

from PySide6.QtCore import QObject, QTimer, Signal
from shiboken6 import isValid


class Turn(QObject):
    """Like a single-shot timer of no time, but of all that wait in the window only one is due in each turn.

    Timers that run out together are served in one turn of the event loop: four views of 15 ms would hold up the
    window for 60. Here the first has its turn, what it changed is painted and the mouse is heard, then comes the next.

    Signals:
        due: the turn has come.
    """

    due = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)

    def start(self) -> None:
        """Wait for a turn, behind those that wait already; nothing new where this one does."""
        if self not in _line.waiting:
            _line.waiting.append(self)
            _line.go_on()

    def stop(self) -> None:
        """Wait no longer."""
        if self in _line.waiting:
            _line.waiting.remove(self)

    @property
    def waits(self) -> bool:
        """True between start and due."""
        return self in _line.waiting


class _Line:
    """All that wait for a turn; the event loop of the window is one, so there is one line."""

    def __init__(self) -> None:
        self.waiting: deque[Turn] = deque()
        self._pump: QTimer | None = None

    def go_on(self) -> None:
        # Made at the first use: a timer belongs to the thread of the window.
        if self._pump is None:
            self._pump = QTimer(interval=0)
            self._pump.timeout.connect(self._next)
        if not self._pump.isActive():
            self._pump.start()

    def _next(self) -> None:
        while self.waiting:
            turn = self.waiting.popleft()
            # A closed view is gone with its turn.
            if isValid(turn):
                turn.due.emit()
                return
        if self._pump is not None:
            self._pump.stop()


_line = _Line()
