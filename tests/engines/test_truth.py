"""One run against a drawn truth, checked with scikit-learn and plain distances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score, roc_auc_score

from engines.truth import hausdorff95, judge, lesionwise

SPACING = (1.0, 2.0, 3.0)


def ball(middle: tuple[int, int, int], radius: float, shape: tuple[int, int, int] = (24, 20, 16)) -> np.ndarray:
    grid = np.indices(shape)
    return sum((axis - at) ** 2 for axis, at in zip(grid, middle, strict=True)) < radius**2  # type: ignore[no-any-return]


def surface_mm(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask & ~ndimage.binary_erosion(mask)) * SPACING


def test_hausdorff_is_what_all_pairs_of_surface_points_give() -> None:
    a, b = ball((10, 10, 8), 5), ball((13, 9, 7), 4)
    pairs = cdist(surface_mm(a), surface_mm(b))
    expected = max(np.percentile(pairs.min(1), 95), np.percentile(pairs.min(0), 95))
    assert hausdorff95(a, b, SPACING) == pytest.approx(expected)
    assert hausdorff95(a, a, SPACING) == 0
    assert np.isnan(hausdorff95(a, np.zeros_like(a), SPACING))


def test_lesions_are_counted_whole() -> None:
    truth = ball((5, 5, 5), 3) | ball((18, 14, 10), 3)
    barely = np.zeros_like(truth)
    barely[18, 14, 10] = True  # one voxel of 123: not a tenth
    assert lesionwise(truth, ball((5, 5, 5), 2) | barely) == (1, 2, 0)
    assert lesionwise(truth, truth | ball((5, 16, 13), 2)) == (2, 2, 1)
    assert lesionwise(np.zeros_like(truth), truth) == (0, 0, 2)
    assert lesionwise(truth, np.zeros_like(truth)) == (0, 2, 0)


def test_the_verdict_counts_only_what_was_scored_and_says_what_was_not() -> None:
    random = np.random.default_rng(0)
    truth = ball((10, 10, 8), 4)
    region = np.ones(truth.shape, bool)
    region[:8] = False
    percentiles = np.clip(60 + 35 * truth + random.normal(0, 12, truth.shape), 0, 100).astype(np.float32)
    scores = percentiles.max((0, 1))
    scores[0] = np.nan
    told = judge(percentiles, region, scores, 2, truth, SPACING, 95.0)
    known, values = truth[region], percentiles[region]
    assert told.auroc == pytest.approx(roc_auc_score(known, values))
    assert told.average_precision == pytest.approx(average_precision_score(known, values))
    assert told.prevalence == pytest.approx(known.mean())
    above = values > 95
    assert told.dice == pytest.approx(2 * (known & above).sum() / (known.sum() + above.sum()))
    assert told.oracle_dice >= told.dice
    assert told.slice_auroc == pytest.approx(roc_auc_score(truth.any((0, 1))[1:], scores[1:]))
    assert told.missed_outside == pytest.approx(truth[:8].sum() / truth.sum())
    assert told.missed_outside > 0


def test_a_healthy_volume_has_false_places_and_no_ranking() -> None:
    nothing = np.zeros((24, 20, 16), bool)
    percentiles = np.where(ball((10, 10, 8), 3), 99.5, 10).astype(np.float32)
    told = judge(percentiles, ~nothing, percentiles.max((0, 1)), 2, nothing, SPACING, 99.0)
    assert (told.lesions, told.found, told.false_positives) == (0, 0, 1)
    assert told.dice == 0
    assert np.isnan([told.auroc, told.average_precision, told.oracle_dice, told.hausdorff95_mm]).all()
    assert np.isnan(told.missed_outside)
