"""PNG files without a display, in a process of its own as `brainviewer demo --offscreen` would be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PySide6.QtGui import QImage

from brainviewer.render.offscreen import hottest, save_side_by_side
from brainviewer.render.overlay import Heatmap
from engines import Volume

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from brainviewer.render.offscreen import save_views, opengl_renderer
from engines import Volume
volume = Volume(np.full((40, 40, 20), 300, np.float32), np.eye(4), "T1")
percentiles = np.zeros(volume.shape, np.float32)
percentiles[5:15, 5:15, 12:16] = 99.95
save_views(volume, percentiles, None, Path(sys.argv[1]), 99.0, size=(800, 450), title="SAGAN")
print(opengl_renderer())
"""


def test_views_are_saved_without_a_display(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "QT_QPA_PLATFORM")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "views.png")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "RenderWindow" in done.stdout
    image = QImage(str(tmp_path / "views.png")).convertToFormat(QImage.Format.Format_RGBX8888)
    assert (image.width(), image.height()) == (800, 450)
    pixels = np.array(image.constBits()).reshape(450, 800, 4)[..., :3].astype(int)
    assert (np.ptp(pixels, axis=2) > 60).sum() > 500, "the heatmap is on it"
    assert (pixels.min(axis=2) > 180).sum() > 100, "and white letters"


def test_the_first_look_is_at_the_largest_finding() -> None:
    volume = Volume(np.zeros((20, 20, 20), np.float32), np.diag([2.0, 2.0, 2.0, 1.0]), "T1")
    percentiles = np.zeros(volume.shape, np.float32)
    percentiles[3:6, 8:11, 15] = 99.9
    percentiles[18, 18, 2] = 99.9
    found = hottest(volume, Heatmap(percentiles), 99.0)
    assert found is not None
    assert np.allclose(found, (8, 18, 30))
    assert hottest(volume, Heatmap(np.zeros_like(percentiles)), 99.0) is None


def test_side_by_side_looks_where_several_heatmaps_are_high(tmp_path: Path) -> None:
    volume = Volume(np.full((40, 40, 20), 300, np.float32), np.eye(4), "T1")
    everywhere = np.full(volume.shape, 99.95, np.float32)
    somewhere = np.zeros(volume.shape, np.float32)
    somewhere[5:15, 5:15, 12] = 99.95
    maps = [Heatmap(one, None, title) for one, title in ((everywhere, "A"), (somewhere, "B"), (somewhere * 0, "C"))]
    save_side_by_side(volume, maps, tmp_path / "three.png", size=(900, 300))
    image = QImage(str(tmp_path / "three.png")).convertToFormat(QImage.Format.Format_RGBX8888)
    pixels = np.array(image.constBits()).reshape(300, 900, 4)[..., :3].astype(int)
    coloured = [(np.ptp(pixels[:, at : at + 300], axis=2) > 60).sum() for at in (0, 300, 600)]
    assert coloured[0] > coloured[1] > coloured[2] + 200, "slice 12, where B is high too"
