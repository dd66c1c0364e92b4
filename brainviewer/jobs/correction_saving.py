"""Brings the steps of one correction to the disk; trouble is told once, and what could not be written waits."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, QTimer, Signal

from brainviewer.state.messages import Messages
from brainviewer.storage import audit, corrections
from brainviewer.storage.correction_journal import Journal
from brainviewer.storage.correction_records import Event, Place
from brainviewer.storage.corrections import JOURNAL, About
from brainviewer.study.correction import Correction
from engines import KnownError

RETRY_MS = 3_000
# An unnamed version is kept after so many steps.
VERSION_EVERY = 50


class Saving(QObject):
    """Writes each step at once on the calling thread (some 0.2 ms); a thread of its own waits for the disk.

    Raises KnownError where the correction is open in another window.

    Signals:
        kept: a version was written.
    """

    kept = Signal()
    _failed = Signal(object)

    def __init__(
        self, about: About, automatic: NDArray[np.uint8], place: Place | None, messages: Messages, made: bool
    ) -> None:
        """made: the folder is there already; else it is made with the first step that can be written."""
        super().__init__()
        self.about, self._automatic, self._messages = about, automatic, messages
        self._journal: Journal | None = None
        self._early: list[Event] = []
        self._made, self._told = made, False
        self._steps = 0
        if made:
            self._journal = Journal(corrections.folder(about) / JOURNAL, place)
        self._retry = QTimer(self, interval=RETRY_MS)
        self._retry.timeout.connect(self.catch_up)
        self._failed.connect(self._tell)
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._wait_for_disk, name="corrections", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Steps that are in memory only."""
        return len(self._early) + (self._journal.waiting if self._journal is not None else 0)

    def add(self, event: Event, correction: Correction) -> None:
        """Write a step."""
        self._early.append(event)
        self.catch_up()
        self._steps += 1
        if self._steps % VERSION_EVERY == 0:
            self.keep_version(correction)

    def catch_up(self) -> None:
        """Write what waits, or try again later."""
        try:
            if self._journal is None:
                if not self._made:
                    corrections.create(self.about, self._automatic)
                    self._made = True
                self._journal = Journal(corrections.folder(self.about) / JOURNAL)
            self._journal.catch_up()
            while self._early:
                event = self._early.pop(0)
                self._journal.add(event)
        except KnownError as error:
            self._tell(error)
            self._retry.start()
            return
        if self._told:
            self._messages.note("Corrections are saved again.")
        self._told = False
        self._retry.stop()
        self._work.put(self._journal.flush)

    def keep_version(self, correction: Correction, name: str = "") -> None:
        """Keep the present state, on the other thread."""
        journal = self._journal
        if journal is None or self.waiting:
            return
        at, mask, states, place = (
            corrections.folder(self.about),
            correction.mask.copy(),
            correction.states.copy(),
            journal.place,
        )

        def keep() -> None:
            corrections.keep_version(at, mask, states, place, name)
            self.kept.emit()

        self._work.put(keep)

    def close(self, correction: Correction) -> None:
        """Keep a version where something changed, wait for the disk, and let go."""
        self._retry.stop()
        if self._steps:
            self.keep_version(correction)
            about, steps = self.about, self._steps
            self._work.put(lambda: _note(about, steps))
        self._work.put(None)
        self._thread.join(10)
        if self._journal is not None:
            self._journal.close()

    def _wait_for_disk(self) -> None:
        while (task := self._work.get()) is not None:
            try:
                task()
            except KnownError as error:
                self._failed.emit(error)

    def _tell(self, error: KnownError) -> None:
        if not self._told:
            self._messages.error(error)
        self._told = True


def _note(about: About, steps: int) -> None:
    audit.note("edit", about.study, correction=about.key, steps=steps)
