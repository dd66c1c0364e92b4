"""What differs from the filling in every healthy brain is no finding; what differs in one is."""

from __future__ import annotations

import numpy as np

from engines.itermask3d.healthy_difference import HealthyDifference, smoothed

SHAPE = (32, 40, 32)


def _healthy(count: int = 6) -> tuple[list[np.ndarray], list[np.ndarray]]:
    random = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    brain = np.square(axes).sum(0) < 0.8
    usual = np.where(axes[0] > 0, 2.0, 0.0)  # one half is always filled in too dark
    raw = [(usual + random.normal(0, 1, SHAPE)).astype(np.float32) for _ in range(count)]
    return [smoothed(one, brain, 1.5) for one in raw], [brain] * count


def test_what_every_healthy_brain_shows_is_taken_off() -> None:
    differences, brains = _healthy()
    healthy = HealthyDifference.measured(differences[1:], brains[1:], 2.0)
    changed = differences[0].copy()
    changed[10:14, 18:22, 14:18] -= 1.0
    brain = brains[0]
    heat = healthy.standardised(changed, brain, 0.0, 2.0)
    inner = brain.copy()
    inner[14:18] = False  # the step between the halves is smoothed
    lesion = heat[10:14, 18:22, 14:18]
    assert lesion.mean() > 3 * heat[inner].mean()
    right, left = heat[20:26, 14:26, 10:22], heat[6:12, 6:12, 10:22]
    assert right.mean() < 2 * left.mean()  # though the plain differences are ten times apart
    assert np.abs(changed[20:26, 14:26, 10:22]).mean() > 5 * np.abs(changed[6:9, 14:26, 10:22]).mean()


def test_smoothing_stays_within_the_brain_and_keeps_constants() -> None:
    _, (brain, *_) = _healthy(1)
    flat = smoothed(np.full(SHAPE, 3, np.float32), brain, 2.0)
    assert np.allclose(flat[brain], 3, atol=1e-4)
    assert (flat[~brain] == 0).all()
    assert np.array_equal(smoothed(flat, brain, 0.0), flat)


def test_it_comes_back_from_a_package_and_spoiled_ones_count_as_none() -> None:
    healthy = HealthyDifference.measured(*_healthy(), 2.0)
    assert healthy.maps.shape == (2, 16, 20, 16)
    assert np.array_equal(HealthyDifference.from_arrays(healthy.to_arrays()).maps, healthy.maps)
    unknown = HealthyDifference.unknown()
    assert np.allclose(unknown.standardised(np.full(SHAPE, -2, np.float32), np.ones(SHAPE, bool), 0.0, 2.0), 2)
    for spoiled in ({}, {"itermask3d.healthy_difference": np.full((2, 4, 4, 4), np.nan)}):
        assert np.array_equal(HealthyDifference.from_arrays(spoiled).maps, unknown.maps)


def test_what_both_sides_share_is_taken_off_and_the_first_axis_is_left_to_right() -> None:
    _, (brain, *_) = _healthy(1)
    unknown = HealthyDifference.unknown()
    both = np.zeros(SHAPE, np.float32)
    both[6:12, 12:28, 10:22] = 3
    one = both.copy()
    both[20:26, 12:28, 10:22] = 3
    place = (slice(7, 11), slice(14, 26), slice(12, 20))
    share = {
        name: unknown.standardised(map_, brain, 0.5, 2.0)[place].mean() for name, map_ in (("both", both), ("one", one))
    }
    assert share["both"] < 0.65 * share["one"]
    assert share["one"] > 2.9
    # A lesion of one side is no finding on the other, however strong it is.
    ghost = unknown.standardised(10 * (both - one), brain, 0.5, 2.0)
    assert ghost[7:11, 14:26, 12:20].max() == 0
    assert ghost[21:25, 14:26, 12:20].min() > 25
