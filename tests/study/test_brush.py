"""The brush is round in the patient, whatever the voxels are, and goes only where its guide lets it."""

from __future__ import annotations

import numpy as np
import pytest

from brainviewer.study.brush import Stroke, above, alike, near_segment
from brainviewer.study.correction import Correction

SHEAR = np.array([[0.8, 0.3, 0.0, 5], [0.0, 1.4, 0.2, -3], [0.1, 0.0, 2.5, 9], [0, 0, 0, 1]])
ROUND = {"even": np.eye(4), "thick": np.diag([0.5, 0.5, 5.0, 1.0]), "sheared": SHEAR}


def by_hand(shape, affine, start, end, radius_mm, axis=None):
    """Distance of each voxel's middle to the segment, worked out in millimetres."""
    grid = np.stack(np.indices(shape), -1) @ affine[:3, :3].T
    a, b = affine[:3, :3] @ start, affine[:3, :3] @ end
    if axis is not None:
        grid = grid.copy()
        flat = np.stack(np.indices(shape), -1).astype(float)
        flat[..., axis] = start[axis]
        grid = flat @ affine[:3, :3].T
        b = affine[:3, :3] @ np.where(np.arange(3) == axis, start, end)
    way = b - a
    part = np.clip(((grid - a) @ way) / max(way @ way, 1e-12), 0, 1)
    near = np.linalg.norm(grid - a - part[..., None] * way, axis=-1) <= radius_mm
    if axis is not None:
        only = np.zeros(shape, bool)
        only[tuple(round(start[n]) if n == axis else slice(None) for n in range(3))] = True
        near &= only
    return near


@pytest.mark.parametrize("axis", [None, 0, 1, 2])
@pytest.mark.parametrize("affine", ROUND.values(), ids=list(ROUND))
def test_the_brush_is_a_capsule_in_millimetres(affine, axis):
    shape, start, end = (30, 28, 20), np.array([8.3, 9.0, 7.0]), np.array([20.2, 14.0, 11.0])
    box, inside = near_segment(shape, affine, start, end, 4.21, axis)
    found = np.zeros(shape, bool)
    found[box.slices] = inside
    expected = by_hand(shape, affine, start, end, 4.21, axis)
    # The voxel under the pointer is painted even where the brush is smaller than a voxel.
    under = [round(v) for v in end]
    if axis is not None:
        under[axis] = round(start[axis])
    expected[tuple(under)] = True
    assert np.array_equal(found, expected)


def test_a_brush_smaller_than_a_voxel_paints_the_voxel_under_the_pointer():
    correction = Correction(np.zeros((5, 5, 5)), 2)
    stroke = Stroke(correction, np.diag([4.0, 4.0, 4.0, 1.0]), 1, 0.5)
    stroke.to((2.3, 1.8, 2.1))
    assert np.argwhere(correction.mask).tolist() == [[2, 2, 2]]


def test_outside_the_volume_nothing_happens():
    assert near_segment((5, 5, 5), np.eye(4), np.array([-9.0, 2, 2]), np.array([-8.0, 2, 2]), 2.0) is None
    assert near_segment((5, 5, 5), np.eye(4), np.array([2.0, 2, 7]), np.array([2.0, 2, 7]), 2.0, axis=2) is None


def test_the_heatmap_guides_the_brush():
    percentiles = np.zeros((20, 20, 4), np.float32)
    percentiles[8:12, 8:12] = 99.5
    correction = Correction(np.zeros(percentiles.shape), 2)
    stroke = Stroke(correction, np.eye(4), 1, 8.0, guide=above(percentiles, 99.0))
    stroke.to((10, 10, 1))
    assert correction.mask.any()
    assert not correction.mask[percentiles <= 99.0].any()


def test_the_intensity_guides_the_brush():
    random = np.random.default_rng(0)
    voxels = random.normal(100, 4, (24, 24, 3)).astype(np.float32)
    voxels[:, 12:] += 80
    correction = Correction(np.zeros(voxels.shape), 2)
    stroke = Stroke(correction, np.eye(4), 1, 6.0, axis=2, guide=alike(voxels, np.eye(4), (12, 17, 1), 6.0))
    stroke.to((12, 17, 1))
    stroke.to((12, 6, 1))
    assert correction.mask[10:14, 13:20, 1].mean() > 0.9
    assert not correction.mask[:, :12].any()


def test_painting_and_erasing_the_same_way_leaves_nothing():
    correction = Correction(np.zeros((20, 20, 5)), 2)
    for value in (1, 0):
        stroke = Stroke(correction, np.eye(4), value, 3.0)
        for place in ((4, 4, 2), (14, 9, 2), (3, 15, 3)):
            stroke.to(place)
        assert stroke.finish() is not None
    assert not correction.mask.any()
