"""Curves for the plots, checked against scikit-learn and against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from engines.curves import MOST_DOTS, MOST_POINTS, bland_altman, precision_recall, roc


@pytest.fixture
def scored():
    random = np.random.default_rng(3)
    truth = random.random(20_000) < 0.1
    return truth, random.normal(size=20_000) + 1.5 * truth


def test_the_roc_curve_keeps_its_area_with_few_points(scored):
    curve = roc(*scored)
    assert len(curve.x) <= MOST_POINTS
    assert curve.value == pytest.approx(roc_auc_score(*scored))
    assert auc(curve.x, curve.y) == pytest.approx(curve.value, abs=2e-3)
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)


def test_the_precision_recall_curve_runs_from_no_recall_to_all(scored):
    curve = precision_recall(*scored)
    assert (curve.x[0], curve.x[-1]) == (0, 1)
    assert (np.diff(curve.x) >= 0).all()
    assert curve.value == pytest.approx(average_precision_score(*scored))
    assert curve.base == pytest.approx(scored[0].mean())


def test_one_class_alone_has_no_curve():
    scores = np.linspace(0, 1, 5)
    assert roc(np.zeros(5, bool), scores) is None
    assert precision_recall(np.zeros(5, bool), scores) is None
    assert roc(np.ones(5, bool), scores) is None


def test_limits_of_agreement_hold_95_percent_of_normal_differences():
    random = np.random.default_rng(5)
    first = random.normal(size=50_000)
    second = first - 2 + 0.5 * random.normal(size=50_000)
    dots = bland_altman(first, second)
    assert len(dots.x) == MOST_DOTS
    assert dots.bias == pytest.approx(2, abs=0.02)
    inside = np.mean((first - second > dots.low) & (first - second < dots.high))
    assert inside == pytest.approx(0.95, abs=0.005)
    assert bland_altman(first[:1], second[:1]) is None
