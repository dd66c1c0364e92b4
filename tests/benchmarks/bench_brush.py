"""How fast a dab is on the screen: python tests/benchmarks/bench_brush.py [--size 1400x900] [--dabs 200].

Times are from the mouse event to the painted window at 512x512 voxels, with heatmap, automatic outline, words and
lines: finding the voxels, flipping them, renewing the touched box and painting it. Journal writing is told apart. Time
in which other programs had the processor is left out.
Off-screen by default (Qt platform "offscreen").
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
from pathlib import Path
from time import perf_counter, thread_time

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication

from brainviewer.render.triplanar import TriplanarView
from brainviewer.state import Cursor, Display, Tool
from brainviewer.storage.correction_journal import Journal
from brainviewer.storage.correction_records import Event, Kind
from brainviewer.study.brush import Stroke
from brainviewer.study.correction import Correction
from engines import Volume

SHAPE = (512, 512, 40)
AFFINE = np.diag([-0.45, -0.45, 4.0, 1.0])
LIMIT_MS = 16.0
# A brush of 200 voxels across is allowed more.
WIDE_VOXELS, WIDE_LIMIT_MS = 150, 50.0
WAITED = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")


class Hand:
    """What the correction workspace does with the brush, without the workspace."""

    def __init__(self, correction: Correction, view: TriplanarView, journal: Journal, tool: Tool) -> None:
        self.correction, self.view, self.journal, self.tool = correction, view, journal, tool
        self.journal_ms: list[float] = []

    def press(self, voxel: np.ndarray, axis: int, erase: bool) -> None:
        self.stroke = Stroke(self.correction, AFFINE, int(not erase), self.tool.radius_mm, axis)
        self.move(voxel)

    def move(self, voxel: np.ndarray) -> None:
        box = self.stroke.to(voxel)
        if box is not None:
            self.view.touch(box)

    def release(self) -> None:
        edit = self.stroke.finish()
        if edit is not None:
            began = perf_counter()
            self.journal.add(Event(Kind.EDIT, edit))
            self.journal_ms.append((perf_counter() - began) * 1e3)


def send(app: QApplication, view: TriplanarView, kind: QEvent.Type, at: QPointF) -> tuple[float, float]:
    """One mouse event, until everything is painted; milliseconds by the clock and of computing."""
    button = Qt.MouseButton.LeftButton
    event = QMouseEvent(kind, at, view.mapToGlobal(at), button, button, Qt.KeyboardModifier.NoModifier)
    began, waited, used = perf_counter(), queued(), thread_time()
    QApplication.sendEvent(view, event)
    app.processEvents()
    return (perf_counter() - began - queued() + waited) * 1e3, (thread_time() - used) * 1e3


def queued() -> float:
    """Seconds this thread was ready and had no processor, where Linux tells; other programs' doing."""
    return int(WAITED.read_text().split()[1]) / 1e9 if WAITED.exists() else 0.0


def main() -> None:
    """Print one row for each size of the brush."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="1400x900")
    parser.add_argument("--dabs", type=int, default=200)
    options = parser.parse_args()
    width, height = (int(part) for part in options.size.split("x"))
    app = QApplication([])
    cursor, display, tool = Cursor(), Display(), Tool()
    view = TriplanarView(cursor, display, tool)
    view.resize(width, height)
    view.show()
    random = np.random.default_rng(0)
    view.set_volume(Volume(random.normal(100, 20, SHAPE).astype(np.float32), AFFINE, "FLAIR"))
    grid = np.indices(SHAPE) - np.array([256, 256, 20])[:, None, None, None]
    distance = np.sqrt((grid**2).sum(0))
    view.set_heatmap((100 - distance / 6).clip(0, 99.99).astype(np.float32), distance < 200, "phantom")
    correction = Correction(distance < 60, 2)
    view.set_mask("automatic", correction.automatic, "#ffb74d", filled=False)
    with tempfile.TemporaryDirectory() as folder:
        hand = Hand(correction, view, Journal(Path(folder) / "journal.log"), tool)
        tool.paint = "brush"
        view.correct(correction.mask, "#4fc3f7", hand)
        for _ in range(50):
            app.processEvents()
        print(f"{view._scene.stage.opengl()}; {width}x{height}, volume {SHAPE}")
        print(f"{'brush':28}{'mean ms':>9}{'p95 ms':>9}{'longest ms':>12}{'CPU p95 ms':>13}{'journal p95 ms':>16}")
        kept = True
        for radius in (2.0, 5.0, 10.0, 22.5, 45.0):
            tool.radius_mm = radius
            limit = LIMIT_MS if 2 * radius / 0.45 < WIDE_VOXELS else WIDE_LIMIT_MS
            kept &= measure(app, view, hand, radius, options.dabs) <= limit
    print(f"limits {LIMIT_MS:g} ms, {WIDE_LIMIT_MS:g} ms for the widest, at p95: {'kept' if kept else 'NOT KEPT'}")
    view.close()
    sys.exit(int(not kept))


def measure(app: QApplication, view: TriplanarView, hand: Hand, radius: float, dabs: int) -> float:
    """Paint a winding way with one size; returns the 95th percentile in milliseconds."""
    times, hand.journal_ms = [], []
    place = view._scene.frame(view._scene.places()["axial"])
    for number in range(dabs):
        angle = number / 7
        reach = 0.3 * min(place.width(), place.height()) * (0.3 + 0.7 * (number % 50) / 50)
        at = place.center() + QPointF(reach * np.cos(angle), reach * np.sin(angle))
        first, last = number % 20 == 0, number % 20 == 19
        times.append(send(app, view, QEvent.Type.MouseButtonPress if first else QEvent.Type.MouseMove, at))
        if last:
            send(app, view, QEvent.Type.MouseButtonRelease, at)
    wall, own = np.array(times).T
    p95 = float(np.percentile(wall, 95))
    pixels = round(2 * radius / 0.45)
    journal = np.percentile(hand.journal_ms, 95)
    row = f"{wall.mean():9.1f}{p95:9.1f}{wall.max():12.1f}{np.percentile(own, 95):13.1f}{journal:16.2f}"
    print(f"{f'{radius:g} mm, {pixels} voxels across':28}{row}")
    return p95


if __name__ == "__main__":
    main()
