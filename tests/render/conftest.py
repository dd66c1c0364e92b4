"""Small volumes with marks whose place in the patient is known, and a scene to draw them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QApplication

from brainviewer.render.geometry import Plane
from brainviewer.render.scene import TriplanarScene
from brainviewer.state import Cursor, Display
from engines import Volume

SIZE = (330, 200)


def marked_volume(
    directions: NDArray[np.float64],
    shape: tuple[int, int, int],
    mark_mm: tuple[float, float, float],
    radius_mm: float = 9,
) -> Volume:
    """A dark box with a bright ball; the affine's columns are `directions` and the box's middle is at (0, 0, 0) mm."""
    affine = np.eye(4)
    affine[:3, :3] = directions
    affine[:3, 3] = -directions @ (np.array(shape) - 1) / 2
    grid = np.stack(np.indices(shape), axis=-1) @ directions.T + affine[:3, 3]
    ball = np.linalg.norm(grid - np.array(mark_mm), axis=-1) < radius_mm
    return Volume(np.where(ball, 1000.0, 100.0).astype(np.float32), affine, "T1")


@pytest.fixture
def scene(qapp: QApplication) -> Iterator[TriplanarScene]:
    """Three views on a surface of 330x200 pixels, without words and lines."""
    display = Display()
    display.annotations = False
    display.set_window(1100.0, 550.0)
    scene = TriplanarScene(Cursor(), display)
    scene.resize(*SIZE)
    yield scene
    scene.close()


@pytest.fixture
def painted(scene: TriplanarScene) -> Callable[[Plane], NDArray[np.uint8]]:
    """What a view shows now: uint8 (rows, columns, 3), first row at the top."""

    def paint(plane: Plane) -> NDArray[np.uint8]:
        scene.draw(scene.stale())
        image = QImage(*SIZE, QImage.Format.Format_RGBX8888)
        painter = QPainter(image)
        scene.paint(painter)
        painter.end()
        pixels = np.array(image.constBits(), dtype=np.uint8).reshape(SIZE[1], SIZE[0], 4)
        place = scene.places()[plane]
        return pixels[place.top : place.top + place.height, place.left : place.left + place.width, :3]

    return paint


def middle_of(bright: NDArray[np.bool_]) -> tuple[float, float]:
    """Centre of the True pixels as (x, y), each from -1 (left, top) to 1 (right, bottom)."""
    rows, columns = np.nonzero(bright)
    assert rows.size, "nothing bright is on the screen"
    height, width = bright.shape
    return float(columns.mean() / (width - 1) * 2 - 1), float(rows.mean() / (height - 1) * 2 - 1)
