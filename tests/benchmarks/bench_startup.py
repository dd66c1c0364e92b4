"""From the command to a window that can be used, and to the first image: `python -m tests.benchmarks.bench_startup`.

Needs a display (xvfb-run will do). Each figure is the best of three new processes; memory is what the viewer process
alone keeps in use five seconds after the start, with no study open.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 3
BUDGET_S = 120


def probe(path: Path) -> None:
    """In the new process: start, note the times, open a file, note the time of its first image, stop."""
    import psutil
    from PySide6.QtCore import QTimer

    from brainviewer.app import Viewer, make_application

    born = psutil.Process().create_time()
    app = make_application()
    viewer = Viewer()
    viewer.show()
    app.processEvents()
    print(f"window {time.time() - born:.3f}")

    def idle() -> None:
        memory = psutil.Process().memory_info().rss
        print(f"memory {memory / 2**20:.0f}")
        began = time.time()

        def first_image() -> None:
            if viewer.session.volume is not None:
                print(f"image {time.time() - began:.3f}")
            if viewer.session.complete:
                print(f"complete {time.time() - began:.3f}")
                viewer.window.close()

        viewer.session.volume_changed.connect(first_image)
        viewer.session.volume_filled.connect(first_image)
        viewer.open([path])

    QTimer.singleShot(5000, idle)
    QTimer.singleShot(BUDGET_S * 1000, app.quit)
    app.exec()


def measure(path: Path) -> dict[str, float]:
    """Figures of one new process; the first of each name counts."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "tests.benchmarks.bench_startup", str(path)]
        environment = {**os.environ, "BRAINVIEWER_HOME": home}
        text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    figures: dict[str, float] = {}
    for line in text.splitlines():
        name, value = line.split()
        figures.setdefault(name, float(value))
    return figures


def main() -> None:
    import nibabel as nib
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan_flair.nii.gz"
        voxels = np.random.default_rng(0).integers(0, 800, (240, 240, 155)).astype(np.int16)
        nib.save(nib.Nifti1Image(voxels, np.diag([1.0, 1.0, 1.0, 1.0])), path)
        runs = [measure(path) for _ in range(RUNS)]
    best = {name: min(run[name] for run in runs) for name in runs[0]}
    print(f"start to usable window       {best['window']:.2f} s")
    print(f"idle memory (viewer, RSS)    {best['memory']:.0f} MB")
    print(f"file to first image          {best['image']:.2f} s   (240x240x155 .nii.gz, reading worker warm)")
    print(f"file to complete volume      {best['complete']:.2f} s")
    print(f"load average                 {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    probe(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
