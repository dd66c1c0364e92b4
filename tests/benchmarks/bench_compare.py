"""How smoothly the compare workspace scrolls: four runs on a 240x240x155 volume, all planes, software OpenGL.

    xvfb-run -s "-screen 0 1920x1200x24" python -m tests.benchmarks.bench_compare

Prints, for each arrangement, what it costs to enter it and to step through all slices until every view shows it. The
window's own computing says what the program does; other programs on the machine lengthen only the time by the clock.
A turn of the event loop longer than 50 ms is a freeze.
"""

from __future__ import annotations

import resource
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QTimer
from PySide6.QtTest import QTest

from brainviewer.app import Viewer, make_application
from brainviewer.jobs.tasks import percentiles_of
from brainviewer.state.run import Run
from brainviewer.study import Series, Study
from engines import AnomalyResult, PercentileScale, Provenance, Volume

SHAPE = (240, 240, 155)
RUNS = 4


def _volume() -> Volume:
    random = np.random.default_rng(0)
    voxels = np.asfortranarray(random.normal(300, 40, SHAPE).astype(np.float32))
    return Volume(voxels, np.diag([1.0, 1.0, 1.0, 1.0]), "FLAIR", "bench")


def _run(number: int, volume: Volume) -> Run:
    random = np.random.default_rng(number)
    heatmap = random.random(SHAPE, np.float32) ** 3
    heatmap[80:140, 90 + 5 * number : 150, 60:100] += 0.5
    scale = PercentileScale(np.linspace(0, 1.5, 100), np.linspace(0, 100, 100))
    region = np.ones(SHAPE, bool)
    scores = heatmap.max(axis=(0, 1))
    how = Provenance(f"engine{number}", "bench", str(number) * 64, {}, "cpu", "fp32", 1.0, volume.uid)
    result = AnomalyResult(
        heatmap, scale, region, 2, scores, scale.percentile(scores), 1.0, 99.0, scale.value(99.0), how
    )
    created = datetime.now(UTC) + timedelta(seconds=number)
    return Run(f"engine{number}", f"Engine {number}", "", volume.uid, result, percentiles_of(result), created)


class Watch:
    """The longest turn of the event loop: by the clock, and the window's own computing in it."""

    def __init__(self) -> None:
        self.reset()
        self._timer = QTimer(interval=1)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now, busy = time.perf_counter(), time.thread_time()
        self.longest = max(self.longest, now - self._last)
        self.longest_busy = max(self.longest_busy, busy - self._busy)
        self._last, self._busy = now, busy

    def reset(self) -> None:
        """Begin anew."""
        self._last, self._busy = time.perf_counter(), time.thread_time()
        self.longest = self.longest_busy = 0.0

    def told(self) -> str:
        """Both in milliseconds."""
        return f"{1000 * self.longest_busy:7.1f} /{1000 * self.longest:6.1f}"


def main() -> None:
    """Print the table."""
    app = make_application()
    viewer = Viewer()
    viewer.window.resize(1860, 1100)
    viewer.show()
    volume = _volume()
    affine = tuple(tuple(row) for row in volume.affine.tolist())
    series = Series(volume.uid, "Bench", "FLAIR", "MR", "nifti", (), SHAPE, affine)
    session = viewer.session
    session.add_study(Study("bench", "Bench", "", Path("bench"), (series,)))
    session.choose_series(series)
    session.put_volume(series, volume)
    before = _memory()
    for number in range(RUNS):
        session.add_run(_run(number, volume))
    QTest.qWait(2000)
    watch = Watch()
    print(f"{RUNS} runs on {'x'.join(map(str, SHAPE))}; memory before the runs {before:.0f} MB")
    print("times in ms; a turn: the window's own computing / by the clock; floor: VTK alone draws the same pixels")
    print(
        "arrangement  views   entry: longest turn   step: own   whole process   by the clock   longest turn"
        "   pixels   floor   MB"
    )
    for mode in ("side", "planes", "agreement", "difference", "slices"):
        watch.reset()
        viewer.commands.run(f"compare.{mode}")
        QTest.qWait(3000)
        entry = watch.told()
        watch.reset()
        steps = np.median([_step(app, viewer, index) for index in range(SHAPE[2])], axis=0)
        longest, views = watch.told(), viewer.compare.views
        pixels, floor = _floor(viewer)
        print(
            f"{mode:12} {len(views):5} {entry:>21} {steps[0]:11.1f} {steps[1]:15.1f} {steps[2]:14.1f} {longest:>14}"
            f" {pixels / 1e6:6.2f} M {floor:7.1f} {_memory():4.0f}",
            flush=True,
        )
    viewer.window.close()


def _clocks() -> NDArray[np.float64]:
    return 1000 * np.array([time.thread_time(), time.process_time(), time.perf_counter()])


def _step(app: object, viewer: Viewer, index: int) -> NDArray[np.float64]:
    """Until every view shows the slice: the window's own computing, that of all threads, and the time by the clock."""
    began = _clocks()
    viewer.cursor.move_to(np.array([120.0, 120.0, float(index)]))
    while True:
        app.processEvents()  # type: ignore[attr-defined]
        scenes = [view._scene for view in viewer.compare.views if view.isVisible()]
        if not any(scene.stale() for scene in scenes):
            return _clocks() - began


def _floor(viewer: Viewer) -> tuple[int, float]:
    """Pixels that a step changes, and how long VTK alone computes (all threads) to draw them and hand them over."""
    planes = [
        (view._scene.stage, view._scene.view(plane)._vtk.renderer, place.width, place.height)
        for view in viewer.compare.views
        if view._scene.cursor is viewer.cursor
        for plane, place in view._scene.places().items()
        if view._scene.view(plane).geometry.slices == 2
    ]
    took = []
    for _ in range(20):
        began = _clocks()
        for stage, renderer, width, height in planes:
            stage.draw(renderer, width, height)
        took.append((_clocks() - began)[1])
    return sum(width * height for *_, width, height in planes), float(np.median(took))


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
