"""Larger steps of a correction against shapes whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from brainviewer.study import mask_operations
from brainviewer.study.mask_operations import fill, grow, interpolate, keep_island, remove_island, shrink, smooth

EVEN = (1.0, 1.0, 1.0)


def disc(radius: float, centre: tuple[float, float] = (20, 20), size: int = 41) -> np.ndarray:
    i, j = np.indices((size, size))
    return (i - centre[0]) ** 2 + (j - centre[1]) ** 2 <= radius**2


def ball(radius: float, size: int = 25) -> np.ndarray:
    grid = np.indices((size,) * 3) - size // 2
    return (grid**2).sum(0) <= radius**2


def test_fill_closes_a_ring_in_a_slice_but_not_an_open_tube_in_a_block():
    ring = (disc(10) & ~disc(5))[:, :, None]
    assert np.array_equal(fill(ring), disc(10)[:, :, None])
    tube = np.repeat(ring, 5, axis=2)
    assert np.array_equal(fill(tube), tube)
    shell = ball(10) & ~ball(6)
    assert np.array_equal(fill(shell), ball(10))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_fill_works_in_every_plane(axis):
    ring = np.expand_dims(disc(10) & ~disc(5), axis)
    assert np.array_equal(fill(ring), np.expand_dims(disc(10), axis))


def test_islands_are_removed_or_kept_also_when_the_pointer_is_beside_them():
    one, two = disc(4, (10, 10))[:, :, None], disc(6, (28, 28))[:, :, None]
    both = one | two
    assert np.array_equal(remove_island(both, (10, 10, 0)), two)
    assert np.array_equal(keep_island(both, (10, 10, 0)), one)
    assert np.array_equal(keep_island(both, (16, 10, 0)), one)
    nothing = np.zeros((4, 4, 1), bool)
    assert not keep_island(nothing, (1, 1, 0)).any()
    assert not remove_island(nothing, (1, 1, 0)).any()


def test_growing_and_shrinking_count_millimetres():
    assert np.array_equal(grow(disc(8)[:, :, None], 2.0, EVEN)[:, 20, 0], disc(10)[:, 20])
    assert np.array_equal(shrink(disc(8)[:, :, None], 2.0, EVEN)[:, 20, 0], disc(6)[:, 20])
    wide = grow(disc(8)[:, :, None], 2.0, (2.0, 1.0, 1.0))[:, :, 0]
    assert wide[:, 20].sum() - disc(8)[:, 20].sum() == 2
    assert wide[20].sum() - disc(8)[20].sum() == 4


def test_nothing_grows_from_nothing_and_everything_stays_everything():
    nothing, everything = np.zeros((4, 4, 4), bool), np.ones((4, 4, 4), bool)
    assert not grow(nothing, 3.0, EVEN).any()
    assert shrink(everything, 1.0, EVEN).all()
    assert not shrink(nothing, 1.0, EVEN).any()


def test_smoothing_takes_off_a_spike_and_keeps_the_size():
    spiky = disc(10).copy()
    spiky[20, 30:38] = True
    smoothed = smooth(spiky[:, :, None], 2.0, EVEN)[:, :, 0]
    assert not smoothed[20, 33:].any()
    assert abs(int(smoothed.sum()) - int(disc(10).sum())) < 0.05 * disc(10).sum()


def test_between_two_discs_lie_discs():
    block = np.zeros((41, 41, 5), bool)
    block[:, :, 0], block[:, :, 4] = disc(4), disc(12)
    block[3, 3, 2] = True  # what lay between does not count
    made = interpolate(block, 2, EVEN)
    radii = [np.sqrt(made[:, :, k].sum() / np.pi) for k in range(5)]
    assert radii == pytest.approx([4, 6, 8, 10, 12], abs=0.6)
    assert not made[3, 3, 2]
    assert np.array_equal(made[:, :, [0, 4]], block[:, :, [0, 4]])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_moved_disc_moves_evenly_in_every_plane(axis):
    block = np.zeros((3, 41, 41), bool)
    block[0], block[2] = disc(8, (16, 20)), disc(8, (24, 20))
    made = np.moveaxis(interpolate(np.moveaxis(block, 0, axis), axis, EVEN), axis, 0)
    assert np.argwhere(made[1]).mean(0) == pytest.approx([20, 20], abs=0.3)


def test_toward_an_empty_slice_the_shape_vanishes_half_way():
    block = np.zeros((41, 41, 9), bool)
    block[:, :, 0] = disc(12)
    sizes = interpolate(block, 2, EVEN).sum((0, 1))
    assert sizes[0] == disc(12).sum()
    assert (np.diff(sizes) <= 0).all()
    assert sizes[2] > 0
    assert sizes[5] == 0
    assert not interpolate(np.zeros((5, 5, 4), bool), 2, EVEN).any()


def test_operations_are_found_by_name():
    made = mask_operations.run("grow", disc(3)[:, :, None].astype(np.uint8), {"radius_mm": 1.0, "spacing_mm": EVEN})
    assert made.dtype == np.uint8
    assert made.sum() > disc(3).sum()
