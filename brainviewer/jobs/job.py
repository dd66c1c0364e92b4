"""One piece of work in a child process, as the window sees it."""

from __future__ import annotations

import time
from enum import Enum
from itertools import count
from typing import Any

from PySide6.QtCore import QObject, Qt, Signal

from engines.errors import KnownError

_ids = count(1)


class JobState(Enum):
    """Where a job is in its life."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class WorkerDied(KnownError):  # noqa: N818 - reads as what happened
    """A child process ended while it worked; `details` holds what it left behind, for the crash report."""

    details: str = ""


class Bug(Exception):  # noqa: N818
    """Trouble nobody foresaw, with the traceback from the child for the crash report."""

    def __init__(self, message: str, traceback: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = "This is a fault of BrainViewer. The log holds the details."
        self.traceback = traceback

    def __reduce__(self) -> tuple[type[Bug], tuple[str, str]]:
        return type(self), (self.message, self.traceback)


class Job(QObject):
    """Work that was asked for. All signals arrive on the GUI thread, and none after the last one.

    Signals:
        started: the child began.
        progress: done, total, text.
        partial: an array in shared memory that the child is still filling (read-only here).
        finished: the result. failed: a KnownError, WorkerDied or Bug. cancelled: stopped by the user.
        ended: always the last one, after finished, failed or cancelled.
    """

    started = Signal()
    progress = Signal(int, int, str)
    partial = Signal(object)
    finished = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    ended = Signal()
    _arrived = Signal(str, object)

    def __init__(self, title: str, stall_s: float | None = None) -> None:
        super().__init__()
        self.id = next(_ids)
        self.title = title
        self.stall_s = stall_s
        self.state = JobState.WAITING
        self.done, self.total, self.text = 0, 0, ""
        self._began = 0.0
        self._cancel: Any = None
        # Messages come from the host's thread; a queued connection brings them to the thread of this object.
        self._arrived.connect(self._take, Qt.ConnectionType.QueuedConnection)

    @property
    def active(self) -> bool:
        """True while it waits or runs."""
        return self.state in (JobState.WAITING, JobState.RUNNING)

    @property
    def seconds_left(self) -> float | None:
        """Estimated time to the end from the pace so far; None while too little is known."""
        elapsed = time.monotonic() - self._began
        if self.state is not JobState.RUNNING or self.done <= 0 or self.total <= 0 or elapsed < 0.5:
            return None
        return elapsed * (self.total - self.done) / self.done

    def cancel(self) -> None:
        """Ask it to stop; a child that does not listen is killed within a second."""
        if self.active and self._cancel is not None:
            self._cancel(self)

    def on_cancel(self, callback: Any) -> None:
        """Set who carries out `cancel` (the host)."""
        self._cancel = callback

    def post(self, kind: str, payload: Any = None) -> None:
        """Deliver a message from the host's thread."""
        self._arrived.emit(kind, payload)

    def _take(self, kind: str, payload: Any) -> None:
        if not self.active:
            return
        if kind == "started":
            self.state, self._began = JobState.RUNNING, time.monotonic()
            self.started.emit()
        elif kind == "progress":
            self.done, self.total, self.text = payload
            self.progress.emit(*payload)
        elif kind == "partial":
            self.partial.emit(payload)
        else:
            self._end(kind, payload)

    def _end(self, kind: str, payload: Any) -> None:
        self.state = JobState(kind)
        self._cancel = None
        try:
            if self.state is JobState.FINISHED:
                self.finished.emit(payload)
            elif self.state is JobState.FAILED:
                self.failed.emit(payload)
            else:
                self.cancelled.emit()
        finally:
            self.ended.emit()
