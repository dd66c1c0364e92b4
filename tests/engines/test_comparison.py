"""Runs on one grid, and how much they agree."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from engines.comparison import consensus, on_grid, pairs

SHAPE = (20, 24, 16)


def test_the_same_grid_is_not_touched() -> None:
    values = np.random.default_rng(0).random(SHAPE, np.float32)
    assert on_grid(values, np.eye(4), SHAPE, np.eye(4)) is values


def test_a_place_stays_where_it_is_in_the_patient() -> None:
    fine = np.diag([1.0, 1.0, 1.0, 1.0])
    coarse = np.array([[0, 0, -2.0, 19], [2.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 0, 1]])  # other axes, other size
    values = np.zeros(SHAPE, np.float32)
    values[4:8, 10:14, 6:10] = 99
    there = on_grid(values, fine, (12, 8, 10), coarse)
    middle = np.argwhere(there > 50).mean(0)
    assert coarse[:3, :3] @ middle + coarse[:3, 3] == pytest.approx((5.5, 11.5, 7.5), abs=1.0)
    mask = on_grid(values > 0, fine, (12, 8, 10), coarse, "nearest")
    assert mask.dtype == np.bool_
    assert 6 <= mask.sum() <= 12  # 64 mm3 in voxels of 8 mm3


def test_outside_the_other_grid_there_is_nothing() -> None:
    far = np.eye(4)
    far[0, 3] = 1000
    assert not on_grid(np.ones(SHAPE, np.float32), np.eye(4), SHAPE, far).any()


def test_consensus_asks_for_enough_runs_inside_their_regions() -> None:
    maps = [np.zeros(SHAPE, np.float32) for _ in range(3)]
    maps[0][:5], maps[1][:3], maps[2][2:4] = 99.5, 99.5, 99.5
    everywhere = [np.ones(SHAPE, bool)] * 3
    assert consensus(maps, everywhere, 99, 2)[:, 0, 0].tolist()[:6] == [1, 1, 1, 1, 0, 0]
    assert consensus(maps, everywhere, 99, 3).sum() == 24 * 16
    assert not consensus(maps, [everywhere[0], everywhere[0], np.zeros(SHAPE, bool)], 99, 3).any()


def test_pairs_are_compared_where_both_looked() -> None:
    random = np.random.default_rng(1)
    a = (100 * random.random(SHAPE)).astype(np.float32)
    b = np.clip(a + random.normal(2, 3, SHAPE), 0, 100).astype(np.float32)
    region = np.zeros(SHAPE, bool)
    region[2:] = True
    a[:2], b[:2] = 100, 0  # nobody may see this
    (pair,) = pairs([a, b], [np.ones(SHAPE, bool), region], 95.0)
    inside_a, inside_b = a[region], b[region]
    above = (inside_a > 95) & (inside_b > 95)
    assert pair.dice == pytest.approx(2 * above.sum() / ((inside_a > 95).sum() + (inside_b > 95).sum()))
    assert pair.correlation == pytest.approx(spearmanr(inside_a, inside_b).statistic)
    apart = inside_a.astype(float) - inside_b
    assert pair.difference == pytest.approx(apart.mean())
    assert (pair.low, pair.high) == pytest.approx(
        (apart.mean() - 1.96 * apart.std(ddof=1), apart.mean() + 1.96 * apart.std(ddof=1))
    )


def test_runs_without_anything_in_common_give_no_number() -> None:
    nothing, everything = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
    flat = np.zeros(SHAPE, np.float32)
    (pair,) = pairs([flat, flat], [nothing, everything], 99.0)
    assert np.isnan([pair.dice, pair.correlation, pair.difference]).all()
    (alike,) = pairs([flat, flat], [everything, everything], 99.0)
    assert np.isnan(alike.correlation)
    assert alike.difference == 0
