"""Left is where the letter says it is: for every axis order, oblique, thick and tilted volumes, in the drawn pixels."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product

import numpy as np
import pytest
from numpy.typing import NDArray

from brainviewer.render.geometry import PLANES, Plane, patient_axes, plane_geometry
from brainviewer.render.scene import TriplanarScene
from brainviewer.study.orientation import describe, letters
from engines import Volume
from tests.render.conftest import marked_volume, middle_of

Paint = Callable[[Plane], NDArray[np.uint8]]

AXIS_ORDERS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]
# Left, anterior and superior of the middle, in RAS+ mm.
MARK = (-16.0, 20.0, 12.0)


def directions_of(order: tuple[int, ...], signs: tuple[int, ...]) -> NDArray[np.float64]:
    """Columns: voxel axis n runs along patient axis order[n]; each patient axis has its own spacing."""
    directions = np.zeros((3, 3))
    for voxel_axis, (patient_axis, sign) in enumerate(zip(order, signs, strict=True)):
        directions[patient_axis, voxel_axis] = sign * (2.0, 2.5, 3.0)[patient_axis]
    return directions


def shape_of(order: tuple[int, ...]) -> tuple[int, int, int]:
    sizes = [(34, 32, 18)[patient_axis] for patient_axis in order]
    return sizes[0], sizes[1], sizes[2]


def rotation(x: float, y: float, z: float) -> NDArray[np.float64]:
    """Turned about R-L, P-A and I-S by degrees, one after the other."""
    a, b, c = np.radians([x, y, z])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def look_at_mark(scene: TriplanarScene, volume: Volume) -> None:
    scene.set_volume(volume)
    scene.cursor.move_to(MARK)


@pytest.mark.parametrize(("order", "signs"), AXIS_ORDERS)
def test_the_mark_and_the_letters_agree_for_every_axis_order(
    scene: TriplanarScene, painted: Paint, order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    look_at_mark(scene, marked_volume(directions_of(order, signs), shape_of(order), MARK))

    x, y = middle_of(painted("axial").min(axis=2) > 200)
    assert x > 0.1, "radiological: patient left is on the right"
    assert y < -0.1, "anterior is up"
    x, y = middle_of(painted("coronal").min(axis=2) > 200)
    assert x > 0.1
    assert y < -0.1, "superior is up"
    x, y = middle_of(painted("sagittal").min(axis=2) > 200)
    assert x < -0.1, "anterior is on the left"
    assert y < -0.1
    edges = {plane: scene.view(plane)._vtk.edge_letters() for plane in PLANES}
    assert edges["axial"] == {"right": "L", "left": "R", "top": "A", "bottom": "P"}
    assert edges["coronal"] == {"right": "L", "left": "R", "top": "S", "bottom": "I"}
    assert edges["sagittal"] == {"right": "P", "left": "A", "top": "S", "bottom": "I"}


def test_neurological_puts_patient_left_on_the_left(scene: TriplanarScene, painted: Paint) -> None:
    look_at_mark(scene, marked_volume(directions_of((0, 1, 2), (1, 1, 1)), shape_of((0, 1, 2)), MARK))
    sagittal = painted("sagittal").copy()
    scene.display.radiological = False
    scene.aim()
    for plane in ("axial", "coronal"):
        x, _ = middle_of(painted(plane).min(axis=2) > 200)
        assert x < -0.1
        assert scene.view(plane)._vtk.edge_letters()["left"] == "L"
    assert np.array_equal(painted("sagittal"), sagittal), "sagittal views are the same in both conventions"


def test_the_mark_is_round_in_a_thick_sliced_volume(scene: TriplanarScene, painted: Paint) -> None:
    volume = marked_volume(np.diag([1.0, 1.0, 6.0]), (100, 100, 16), (0.0, 0.0, 3.0), radius_mm=25)
    scene.set_volume(volume)
    scene.cursor.move_to((0.0, 0.0, 3.0))
    rows, columns = np.nonzero(painted("coronal").min(axis=2) > 128)
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("turned", [(20, 0, 0), (0, 15, 0), (0, 0, -25), (18, 12, 25), (30, -20, 10)])
def test_an_oblique_mark_is_where_the_cursor_says(
    scene: TriplanarScene, painted: Paint, turned: tuple[float, float, float]
) -> None:
    look_at_mark(scene, marked_volume(rotation(*turned) @ np.diag([2.0, 2.0, 4.0]), (40, 40, 20), MARK))
    for plane in PLANES:
        bright = painted(plane).min(axis=2) > 200
        rows, columns = np.nonzero(bright)
        x, y = scene.view(plane).pixel_of(MARK)
        assert abs(columns.mean() + 0.5 - x) < 3
        assert abs(rows.mean() + 0.5 - y) < 3


def test_a_tilted_gantry_is_drawn_without_distortion(scene: TriplanarScene, painted: Paint) -> None:
    sheared = np.array([[2.0, 0, 0], [0, 2.0, 5.0 * np.tan(np.radians(20))], [0, 0, 5.0]])
    scene.set_volume(marked_volume(sheared, (50, 50, 20), (0.0, 5.0, 5.0), radius_mm=22))
    scene.cursor.move_to((0.0, 5.0, 5.0))
    rows, columns = np.nonzero(painted("sagittal").min(axis=2) > 128)
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(1.0, abs=0.15)
    # A ball is round about its middle: no correlation between rows and columns, which a shear would bring.
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        ((1, 0, 0), "R"),
        ((-1, 0, 0), "L"),
        ((0, -3, 0), "P"),
        ((0.1, 0.2, -0.97), "I"),
        ((-0.8, 0.6, 0), "LA"),
        ((0.0, 0.92, 0.39), "AS"),
        ((0.577, 0.578, 0.576), "AR"),
    ],
)
def test_letters_name_the_direction(direction: tuple[float, float, float], expected: str) -> None:
    assert letters(direction) == expected


def test_each_voxel_axis_is_used_once_even_at_45_degrees() -> None:
    affine = np.eye(4)
    affine[:3, :3] = rotation(45, 0, 45)
    assert sorted(patient_axes(affine)) == [0, 1, 2]


def test_positions_are_written_with_letters() -> None:
    assert describe((12.04, -33.5, -0.01)) == "R 12.0  P 33.5  S 0.0"


def test_slices_are_numbered_along_the_voxel_axis() -> None:
    volume = marked_volume(directions_of((2, 0, 1), (-1, 1, -1)), shape_of((2, 0, 1)), MARK)
    geometry = plane_geometry(volume, "axial")
    assert geometry.slices == 0
    assert geometry.count == 18
    assert geometry.slice_index(volume.affine[:3, :3] @ (5, 1, 1) + volume.affine[:3, 3]) == 5
    assert geometry.slice_index((0, 0, 1e4)) == 0, "beyond the end counts as the last slice"
