"""Findings: the places above the threshold, with their size, side and who else sees them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from engines.findings import Finding, findings, label_map

SHAPE = (40, 50, 30)
# 2 x 1 x 3 mm voxels; the first axis runs to the patient's left, the head lies 30 mm to the right of the origin.
AFFINE = np.array([[-2.0, 0, 0, 70], [0, 1, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1]])
REGION = np.ones(SHAPE, bool)


def heat(*balls: tuple[tuple[slice, slice, slice], float]) -> np.ndarray:
    percentiles = np.full(SHAPE, 40, np.float32)
    for where, value in balls:
        percentiles[where] = value
    return percentiles


RIGHT = (slice(4, 8), slice(10, 20), slice(5, 8))  # 4 x 10 x 3 voxels of 6 mm3
LEFT = (slice(30, 32), slice(10, 15), slice(5, 9))


def one(*given: np.ndarray, **options: object) -> list[Finding]:
    return findings(given, [REGION] * len(given), AFFINE, 99.0, **options)  # type: ignore[arg-type]


def test_places_come_with_volume_peak_centroid_and_side() -> None:
    percentiles = heat((RIGHT, 99.5), (LEFT, 99.2))
    percentiles[5, 12, 6] = 99.9
    first, second = one(percentiles)
    assert (first.run, first.voxels) == (0, 120)
    assert first.volume_ml == pytest.approx(0.72)
    assert first.peak == pytest.approx(99.9)
    assert first.peak_mm == pytest.approx((70 - 10, 12 - 20, 5 + 18))
    assert first.centroid_mm == pytest.approx((70 - 2 * 5.5, 14.5 - 20, 5 + 18))
    assert (first.side, second.side) == ("right", "left")
    assert second.voxels == 40


def test_the_side_is_told_from_the_middle_of_the_head_not_of_the_scanner() -> None:
    (found,) = one(heat(((slice(19, 21), slice(10, 20), slice(5, 8)), 99.5)))
    assert found.centroid_mm[0] > 25
    assert found.side == "midline"
    (unknown,) = one(heat((RIGHT, 99.5)), oriented=False)
    assert unknown.side == ""


def test_voxels_that_touch_by_a_corner_are_one_place() -> None:
    a = (slice(4, 8), slice(10, 20), slice(5, 8))
    b = (slice(8, 12), slice(20, 30), slice(8, 11))
    assert len(one(heat((a, 99.5), (b, 99.5)))) == 1


def test_crumbs_and_what_was_not_scored_are_left_out() -> None:
    crumb = (slice(20, 22), slice(40, 42), slice(20, 22))  # 0.048 ml
    assert one(heat((crumb, 99.9))) == []
    assert one(heat((crumb, 99.9)), calibrated=False) == []
    assert len(one(heat((crumb, 99.9)), least_ml=0.04)) == 1
    region = REGION.copy()
    region[RIGHT] = False
    assert findings([heat((RIGHT, 99.5))], [region], AFFINE, 99.0) == []


def test_a_picture_without_pixel_size_has_no_volume() -> None:
    (found,) = one(heat((RIGHT, 99.5)), calibrated=False)
    assert found.volume_ml is None


def test_runs_that_mark_a_tenth_of_a_place_see_it_too() -> None:
    whole, third = heat((RIGHT, 99.5)), heat(((slice(4, 8), slice(10, 20), slice(5, 6)), 99.5))
    sliver = heat(((slice(4, 5), slice(10, 20), slice(5, 6)), 99.5))
    found = one(whole, third, sliver, heat(), least_ml=0.01)
    assert [one.run for one in found] == [0, 1, 2]
    assert found[0].seen_by == (1,)
    assert found[2].seen_by == (0, 1)


def test_each_voxel_knows_its_finding() -> None:
    percentiles = heat((RIGHT, 99.5), (LEFT, 99.2), ((slice(20, 21), slice(40, 41), slice(0, 1)), 99.9))
    found = one(percentiles)
    numbers = label_map(percentiles > 99, found, AFFINE)
    assert len(found) == 2  # the single voxel is too small to be listed
    assert (numbers[RIGHT] == 1).all()
    assert (numbers[LEFT] == 2).all()
    assert numbers[20, 40, 0] == 0
    assert (numbers > 0).sum() == 120 + 40


def test_what_workers_hand_to_the_window_needs_no_heavy_library() -> None:
    """Unpickling a Finding imports its module in the window, where scipy would hold everything up."""
    script = (
        "import sys, engines.findings, engines.comparison, engines.truth, engines.curves, engines.repeating; "
        "print([name for name in ('scipy', 'sklearn', 'torch') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
