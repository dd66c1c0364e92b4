"""How fast the views follow the reader: python tests/benchmarks/bench_views.py [--size 1400x900] [--steps 60].

Times are from the change of state to the painted window, all three views, with heatmap, words and lines.
Off-screen by default (Qt platform "offscreen"), so that it runs anywhere; OpenGL is whatever the machine has.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from PySide6.QtWidgets import QApplication

from brainviewer.render.triplanar import TriplanarView
from brainviewer.state import Cursor, Display, Tool
from engines import Volume

SHAPE = (240, 240, 155)


def phantom() -> tuple[Volume, np.ndarray]:
    """A head-sized volume of smooth noise, and percentiles with a hot ball."""
    random = np.random.default_rng(0)
    grid = np.stack(np.indices(SHAPE), axis=-1).astype(np.float32)
    inside = (((grid - np.array(SHAPE) / 2) / (np.array(SHAPE) * 0.42)) ** 2).sum(axis=-1) < 1
    voxels = np.where(inside, random.uniform(300, 900, SHAPE), 0).astype(np.float32)
    distance = np.linalg.norm(grid - (90, 110, 80), axis=-1)
    return Volume(voxels, np.diag([-1.0, -1.0, 1.0, 1.0]), "FLAIR"), (100 - distance / 4).clip(0, 99.99)


def main() -> None:
    """Print one row for each kind of change."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="1400x900")
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    width, height = (int(part) for part in options.size.split("x"))

    app = QApplication([])
    cursor, display, tool = Cursor(), Display(), Tool()
    began = perf_counter()
    view = TriplanarView(cursor, display, tool)
    view.resize(width, height)
    view.show()
    view.warm_up()
    warm = perf_counter() - began
    volume, percentiles = phantom()
    began = perf_counter()
    view.set_volume(volume)
    settle(app, view)
    first = perf_counter() - began
    view.set_heatmap(percentiles.astype(np.float32), volume.voxels > 0, "phantom")
    settle(app, view)

    def window(step: int) -> None:
        display.window = 700.0 + step

    def threshold(step: int) -> None:
        display.threshold = 90 + step % 9

    def contour(step: int) -> None:
        display.contour = True
        view.step("axial", 1 if step % 60 < 30 else -1)

    changes: list[tuple[str, Callable[[int], None]]] = [
        ("axial slice", lambda step: view.step("axial", 1 if step % 60 < 30 else -1)),
        ("sagittal slice", lambda step: view.step("sagittal", 1 if step % 60 < 30 else -1)),
        (
            "crosshair, all views",
            lambda step: cursor.move_to(cursor.position_mm + np.sign(30.5 - step % 60)),
        ),
        ("window", window),
        ("threshold", threshold),
        ("axial slice, contour", contour),
    ]
    print(f"{view._scene.stage.opengl()}; {width}x{height}, volume {SHAPE}")
    print(f"OpenGL start and empty window {warm * 1e3:.0f} ms, first picture {first * 1e3:.0f} ms")
    print(f"{'change':24}{'mean ms':>9}{'p95 ms':>9}{'longest turn ms':>17}{'CPU ms':>8}")
    for name, change in changes:
        times, turns = [], []
        processor = process_time()
        for step in range(options.steps):
            began = perf_counter()
            change(step)
            turns.append(settle(app, view))
            times.append((perf_counter() - began) * 1e3)
        # All threads together: hardly depends on what else the machine is doing.
        used = (process_time() - processor) * 1e3 / options.steps
        print(f"{name:24}{np.mean(times):9.1f}{np.percentile(times, 95):9.1f}{max(turns) * 1e3:17.1f}{used:8.1f}")
    view.close()


def settle(app: QApplication, view: TriplanarView) -> float:
    """Let the window work until it is up to date; returns the longest turn of the event loop in seconds."""
    longest = 0.0
    while True:
        began = perf_counter()
        app.processEvents()
        longest = max(longest, perf_counter() - began)
        if not view._scene.stale() and not view._redraw.waits:
            began = perf_counter()
            app.processEvents()
            return max(longest, perf_counter() - began)


if __name__ == "__main__":
    main()
