"""Curves to draw: ROC, precision over recall, and Bland-Altman's differences over means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.metrics import auroc, average_precision

Floats = NDArray[np.float64]
# More points than a screen has pixels only take time.
MOST_POINTS = 300
MOST_DOTS = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A line with what it sums up to.

    x, y: float64 (n,), in drawing order. value: area under it. base: what a coin reaches (0.5, or the prevalence).
    """

    x: Floats
    y: Floats
    value: float
    base: float


@dataclass(frozen=True, slots=True, eq=False)
class Dots:
    """Two methods on the same items (Bland & Altman, Lancet 1986): mean and difference of each drawn item.

    x, y: float64 (n,), of at most MOST_DOTS items. bias, low, high: mean difference of all items (first - second) and
    the limits of agreement, 1.96 standard deviations apart from it.
    """

    x: Floats
    y: Floats
    bias: float
    low: float
    high: float


def roc(truth: NDArray[np.bool_], scores: NDArray[np.floating[Any]]) -> Curve | None:
    """False positive rate -> true positive rate; None where only one class is there."""
    from sklearn.metrics import roc_curve

    if not truth.any() or truth.all():
        return None
    x, y, _ = roc_curve(truth, scores)
    return Curve(*_thinned(x, y), auroc(truth, scores), 0.5)


def precision_recall(truth: NDArray[np.bool_], scores: NDArray[np.floating[Any]]) -> Curve | None:
    """Recall -> precision; None where nothing is abnormal, or all is."""
    from sklearn.metrics import precision_recall_curve

    if not truth.any() or truth.all():
        return None
    precision, recall, _ = precision_recall_curve(truth, scores)
    return Curve(*_thinned(recall[::-1], precision[::-1]), average_precision(truth, scores), float(truth.mean()))


def bland_altman(first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]], seed: int = 0) -> Dots | None:
    """Differences over means of paired values; None for fewer than two. Which items are drawn depends on the seed."""
    if len(first) < 2:
        return None
    a, b = first.astype(np.float64), second.astype(np.float64)
    apart = a - b
    bias, spread = float(apart.mean()), 1.96 * float(apart.std(ddof=1))
    some: Any = slice(None)
    if len(a) > MOST_DOTS:
        some = np.random.default_rng(seed).choice(len(a), MOST_DOTS, replace=False)
    return Dots((a[some] + b[some]) / 2, apart[some], bias, bias - spread, bias + spread)


def _thinned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Points evenly spread along the line's length, its ends among them."""
    if len(x) <= MOST_POINTS:
        return np.asarray(x, float), np.asarray(y, float)
    along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    at = np.unique(np.searchsorted(along, np.linspace(0, along[-1], MOST_POINTS)).clip(0, len(x) - 1))
    return np.asarray(x[at], float), np.asarray(y[at], float)
