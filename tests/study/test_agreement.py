"""Two readers against scikit-learn's kappa and Dice by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from brainviewer.study.agreement import agreement, dice, kappa
from brainviewer.study.correction import Correction
from brainviewer.study.mask_edit import slice_box

SHAPE = (12, 10, 6)


def a_reader(seed: int, slices: tuple[int, ...]) -> Correction:
    correction = Correction((np.random.default_rng(0).random(SHAPE) > 0.7), 2)
    random = np.random.default_rng(seed)
    for index in slices:
        drawn = random.random((12, 10, 1)) > 0.6
        correction.apply(correction.replaced("Brush", slice_box(SHAPE, 2, index), drawn))
    return correction


def test_only_slices_both_decided_are_compared():
    one, other = a_reader(1, (0, 1, 2)), a_reader(2, (1, 2, 3))
    found = agreement(one, other)
    assert found.slices == (1, 2)
    a, b = one.mask[:, :, 1:3] > 0, other.mask[:, :, 1:3] > 0
    assert found.dice == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
    assert found.kappa == pytest.approx(cohen_kappa_score(a.ravel(), b.ravel()))
    assert len(found.slice_dice) == 2


def test_readers_who_say_the_same_agree_fully():
    found = agreement(a_reader(1, (0, 4)), a_reader(1, (0, 4)))
    assert (found.dice, found.kappa) == (1.0, 1.0)
    assert math.isnan(found.verdict_kappa)


def test_verdicts_on_slices_are_compared_too():
    one, other = a_reader(1, (0, 1, 2, 3)), a_reader(1, (0, 1, 2, 3))
    one.apply(one.reject(0))
    other.apply(other.reject(0))
    other.apply(other.reject(1))
    found = agreement(one, other)
    expected = cohen_kappa_score([False, True, True, True], [False, False, True, True])
    assert found.verdict_kappa == pytest.approx(expected)


def test_nothing_in_common_is_not_a_number():
    found = agreement(a_reader(1, (0,)), a_reader(2, (3,)))
    assert found.slices == ()
    assert all(math.isnan(value) for value in (found.dice, found.kappa, found.verdict_kappa))
    with pytest.raises(ValueError, match="grids"):
        agreement(a_reader(1, ()), Correction(np.zeros((3, 3, 3)), 2))


def test_kappa_and_dice_of_emptiness():
    empty = np.zeros(5, bool)
    assert math.isnan(dice(empty, empty))
    assert math.isnan(kappa(empty, empty))
