"""Measures how long the window's thread keeps the event loop waiting."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from PySide6.QtCore import QObject, QTimer


class Watchdog(QObject):
    """Ticks as fast as the event loop lets it, and keeps the longest time between two ticks.

    longest_s: by the clock, less the time in which the thread was ready but had no processor (Linux tells it in
    schedstat): our own computing, and waiting for locks, files, pipes and other threads.
    longest_busy_s: our own computing alone, which other programs on the machine cannot lengthen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.longest_s = self.longest_busy_s = 0.0
        self.ticks = 0
        self._waited = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._last, self._busy = self._now(), time.thread_time()
        self._timer = QTimer(self, interval=1)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def stop(self) -> tuple[float, float]:
        self._timer.stop()
        return self.longest_s, self.longest_busy_s

    def _now(self) -> float:
        # Columns: time on a processor, time waiting for one (both ns), turns.
        waited = int(self._waited.read_text().split()[1]) / 1e9 if self._waited.exists() else 0.0
        return time.monotonic() - waited

    def _tick(self) -> None:
        now, busy = self._now(), time.thread_time()
        self.longest_s = max(self.longest_s, now - self._last)
        self.longest_busy_s = max(self.longest_busy_s, busy - self._busy)
        self._last, self._busy = now, busy
        self.ticks += 1
