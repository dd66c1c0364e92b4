"""How smoothly the compare workspace scrolls: four runs on a 240x240x155 volume, all planes, software OpenGL.

    xvfb-run -s "-screen 0 1920x1200x24" python -m tests.benchmarks.bench_compare

Prints, for each arrangement, the time from a step of the cursor until every view shows it, through all slices, and the
memory of the process. A turn of the event loop longer than 50 ms is a freeze.
"""

from __future__ import annotations

import resource
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
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
    """The longest gap between two turns of the event loop."""

    def __init__(self) -> None:
        self._last, self.longest = time.perf_counter(), 0.0
        self._timer = QTimer(interval=1)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now = time.perf_counter()
        self.longest, self._last = max(self.longest, now - self._last), now

    def reset(self) -> None:
        """Begin anew."""
        self._last, self.longest = time.perf_counter(), 0.0


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
    watch = Watch()
    print(f"{RUNS} runs on {'x'.join(map(str, SHAPE))}; memory before the runs {before:.0f} MB")
    print("arrangement   views   median ms   95 % ms   longest turn ms   memory MB")
    for mode in ("side", "planes", "agreement", "difference", "slices"):
        viewer.commands.run(f"compare.{mode}")
        QTest.qWait(3000)
        watch.reset()
        times = [_step(app, viewer, index) for index in range(SHAPE[2])]
        views = len(viewer.compare.views)
        middle, high = np.percentile(times, [50, 95])
        longest = 1000 * watch.longest
        print(f"{mode:12} {views:6} {middle:11.1f} {high:9.1f} {longest:17.1f} {_memory():11.0f}", flush=True)
    viewer.window.close()


def _step(app: object, viewer: Viewer, index: int) -> float:
    began = time.perf_counter()
    viewer.cursor.move_to(np.array([120.0, 120.0, float(index)]))
    while True:
        app.processEvents()  # type: ignore[attr-defined]
        scenes = [view._scene for view in viewer.compare.views if view.isVisible()]
        if not any(scene.stale() for scene in scenes):
            return 1000 * (time.perf_counter() - began)


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
