"""Measures how long the window's thread keeps the event loop waiting."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
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


def yardstick_s() -> float:
    """Seconds of computing that a fixed piece of work takes here and now, 100 ms on a core of 2.5 GHz.

    What the window computes is judged against it: a slow machine, or one whose caches others use, is slow in both.
    """
    taken = []
    for _ in range(3):
        began = time.thread_time()
        count = sum(number % 7 for number in range(1_000_000))
        values = np.random.default_rng(count).random(1_000_000)
        np.percentile(values, [1.0, 99.0])
        taken.append(time.thread_time() - began)
    return min(taken)
