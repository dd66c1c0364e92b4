"""Slices go out upright and come back to the voxels they came from."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from engines.errors import BadVolume
from engines.preparation import FLOOR, TISSUE_LEVEL, prepare_slices
from engines.volume import Volume

SHAPE = (60, 72, 40)


def head() -> tuple[np.ndarray, np.ndarray]:
    """A skull-stripped ellipsoid in RAS with a bright ball at the patient's left front; its affine (3 mm)."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    rng = np.random.default_rng(0)
    brain = (np.square(grid) / np.array([0.8, 0.9, 0.85])[:, None, None, None] ** 2).sum(0) < 1
    voxels = np.where(brain, 100 + rng.normal(0, 3, SHAPE), 0)
    ball = np.square(grid - np.array([-0.4, 0.4, 0.1])[:, None, None, None]).sum(0) < 0.03
    voxels[ball] = 200
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -1.5 * np.array(SHAPE)
    return voxels.astype(np.float32), affine


def turned(order: tuple[int, ...], flips: tuple[int, ...]) -> Volume:
    """The same head stored with other axes."""
    voxels, affine = head()
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    for new, old in enumerate(order):
        matrix[old, new] = -1 if flips[new] else 1
        matrix[old, 3] += SHAPE[old] - 1 if flips[new] else 0
    stored = np.transpose(voxels, order)
    stored = stored[tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)]
    return Volume(np.ascontiguousarray(stored), affine @ matrix, "FLAIR")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product((0, 1), repeat=3)))
def test_every_axis_order_gives_the_same_slices_and_the_way_back(
    order: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    plain, volume = prepare_slices(turned((0, 1, 2), (0, 0, 0)), 64), turned(order, flips)
    stack = prepare_slices(volume, 64)
    upright = np.argsort(stack.heights)
    assert np.allclose(stack.pictures[upright], plain.pictures, atol=1e-4)
    bright = np.argwhere(stack.pictures.max(0) > 0.3)
    assert bright[:, 0].mean() < 30  # front: rows start anterior
    assert bright[:, 1].mean() > 34  # the patient's left: columns start at the right
    back = stack.to_volume((stack.pictures > 0.3).astype(np.float32)) > 0.5
    ball = volume.voxels > 150
    assert 2 * (back & ball).sum() / (back.sum() + ball.sum()) > 0.85


@pytest.mark.parametrize("flips", [(0, 0, 0), (1, 0, 1)])
def test_another_map_of_the_volume_is_shown_like_its_pictures(flips: tuple[int, ...]) -> None:
    volume = turned((2, 0, 1), flips)
    stack = prepare_slices(volume, 64)
    ball = stack.from_volume(volume.voxels > 180) > 0.5
    bright = stack.pictures > 0.4
    assert 2 * (ball & bright).sum() / (ball.sum() + bright.sum()) > 0.9


def test_tissue_lands_on_its_level_and_air_on_the_floor() -> None:
    stack = prepare_slices(turned((0, 1, 2), (0, 0, 0)), 64)
    assert np.median(stack.pictures[stack.foreground]) == pytest.approx(2 * TISSUE_LEVEL - 1, abs=0.02)
    assert np.all(stack.pictures[~stack.foreground] == np.float32(FLOOR))
    assert stack.heights.min() == 0
    assert stack.heights.max() == 1


def test_thick_slices_are_taken_along_their_own_axis() -> None:
    voxels, _ = head()
    thick = Volume(np.ascontiguousarray(voxels[:, ::4]), np.diag([3.0, 12.0, 3.0, 1.0]), "FLAIR")
    stack = prepare_slices(thick, 64)
    assert stack.axis == 1
    assert stack.to_volume(stack.pictures).shape == thick.shape


def test_a_radiograph_is_taken_whole_and_stays_upright() -> None:
    picture = np.zeros((80, 100, 1), np.float32)  # (columns, rows, 1)
    picture[60:, :20] = 200  # right edge, top
    stack = prepare_slices(
        Volume(picture, np.diag([-1.0, -1, 1, 1]), "CXR", calibrated=False), 64, normalisation="range"
    )
    assert stack.pictures.shape == (1, 64, 64)
    assert stack.pictures[0, 5, 48] > 0.9
    assert stack.pictures[0, 40, 48] == np.float32(FLOOR)
    assert stack.pictures[0, 5, 16] == np.float32(FLOOR)


def test_nothing_to_see_is_said() -> None:
    with pytest.raises(BadVolume):
        prepare_slices(Volume(np.zeros(SHAPE, np.float32), np.eye(4), "FLAIR"), 64)
    with pytest.raises(BadVolume):
        prepare_slices(Volume(np.full((64, 64, 1), 7, np.float32), np.eye(4), "CXR"), 64, normalisation="range")
