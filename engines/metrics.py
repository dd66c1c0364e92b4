"""Figures: AUROC, average precision and Dice, with confidence intervals by subject. scikit-learn is the source.

Point figures come from scikit-learn on every item (up to MOST_EXACT; beyond that from ranks in BINS bins). Intervals
come from a bootstrap that draws subjects, not voxels: voxels of one brain are no independent witnesses. It works on
per-subject histograms over at most BINS rank bins; with fewer distinct scores than bins it is exact, with millions of
voxels AUROC differs from the exact one by less than 1e-5, average precision by about 1e-4 (test_metrics.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

BINS = 8192
MOST_EXACT = 2_000_000
RESAMPLES = 1000
# Bins are laid through a sample of the scores: quantiles of it are as good and cost a hundredth.
BIN_SAMPLE = 2_000_000

Bools = NDArray[np.bool_]
Scores = NDArray[np.floating]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value with its 95 % bootstrap interval by subject (NaN where it cannot be told).

    items: slices, voxels or subjects it was measured on. prevalence: share of abnormal ones (the AP of a coin).
    """

    name: str
    value: float
    low: float
    high: float
    subjects: int
    items: int
    prevalence: float
    note: str = ""


def auroc(truth: Bools, scores: Scores) -> float:
    """Area under the ROC curve; NaN where only one class is there."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, scores)) if _both(truth) else float("nan")


def average_precision(truth: Bools, scores: Scores) -> float:
    """Average precision; NaN where nothing is abnormal. Compare it with the prevalence, not with 0.5."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(truth, scores)) if truth.any() else float("nan")


def dice(truth: Bools, predicted: Bools) -> float:
    """Dice overlap of two masks; NaN where both are empty."""
    total = int(truth.sum()) + int(predicted.sum())
    return 2 * int((truth & predicted).sum()) / total if total else float("nan")


def oracle_dice(truth: Bools, scores: Scores) -> tuple[float, float]:
    """The best Dice over all thresholds and the threshold (scores >= it); chosen with the truth, hence an oracle."""
    if not truth.any():
        return float("nan"), float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    ordered = scores[order]
    last = np.append(np.diff(ordered) < 0, True)  # a threshold lies between two different scores
    dices = np.where(last, 2 * hits / (np.arange(1, len(hits) + 1) + hits[-1]), 0)
    best = int(dices.argmax())
    return float(dices[best]), float(ordered[best])


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Scores of all subjects as counts over common rank bins: (subjects, bins), lowest scores first.

    edges: float64 (bins,), the lowest score of each bin.
    """

    normal: NDArray[np.int64]
    abnormal: NDArray[np.int64]
    edges: Floats

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Normal and abnormal items in all: (2,)."""
        return np.array([self.normal.sum(), self.abnormal.sum()])


def tabulate(subjects: Sequence[tuple[Bools, Scores]], bins: int = BINS) -> Table:
    """Count each subject's (truth, scores) in rank bins laid through everybody's scores."""
    pooled = np.concatenate([scores.ravel() for _, scores in subjects])
    step = max(1, len(pooled) // BIN_SAMPLE)
    distinct = np.unique(pooled[::step])
    if len(distinct) > bins:
        # Evenly filled bins, and finer ones at the top, where precision and Dice are decided.
        shares = np.unique(np.concatenate([np.linspace(0, 1, bins // 2), 1 - np.logspace(-6, -1, bins // 2)]))
        distinct = np.unique(np.quantile(pooled[::step], shares, method="higher"))
    edges = distinct.astype(np.float64)
    counts = [_counts(truth.ravel(), scores.ravel(), edges) for truth, scores in subjects]
    return Table(np.stack([normal for normal, _ in counts]), np.stack([abnormal for _, abnormal in counts]), edges)


def _counts(truth: Bools, scores: Scores, edges: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    index = np.searchsorted(edges, scores, side="right").clip(1) - 1
    normal = np.bincount(index[~truth], minlength=len(edges))
    return normal, np.bincount(index[truth], minlength=len(edges))


def table_auroc(normal: Floats, abnormal: Floats) -> Floats:
    """AUROC from binned counts (..., bins); items of one bin count as ties."""
    below = np.cumsum(normal, axis=-1) - normal / 2
    pairs = normal.sum(-1) * abnormal.sum(-1)
    return np.asarray(_ratio((below * abnormal).sum(-1), pairs))


def table_average_precision(normal: Floats, abnormal: Floats) -> Floats:
    """Average precision from binned counts (..., bins); each bin is one threshold."""
    hits = np.cumsum(abnormal[..., ::-1], axis=-1)
    called = hits + np.cumsum(normal[..., ::-1], axis=-1)
    precision = _ratio(hits, called, empty=0.0)
    return np.asarray(_ratio((precision * abnormal[..., ::-1]).sum(-1), abnormal.sum(-1)))


def table_dice(normal: Floats, abnormal: Floats) -> Floats:
    """Dice of each subject for the threshold at each bin's edge: (subjects, bins)."""
    hits = np.cumsum(abnormal[..., ::-1], axis=-1)[..., ::-1]
    called = hits + np.cumsum(normal[..., ::-1], axis=-1)[..., ::-1]
    return np.asarray(_ratio(2 * hits, called + abnormal.sum(-1, keepdims=True)))


def resample(subjects: int, statistic: Callable[[Floats], Floats], seed: int = 0) -> tuple[float, float]:
    """95 % interval of statistic(weights (draws, subjects)) -> (draws,) over bootstrap draws of subjects."""
    if subjects < 2:
        return float("nan"), float("nan")
    random = np.random.default_rng(seed)
    weights = random.multinomial(subjects, np.full(subjects, 1 / subjects), size=RESAMPLES).astype(np.float64)
    # Fifty draws at a time keep the tables small (50 x 8192 x 8 bytes).
    values = np.concatenate([statistic(weights[start : start + 50]) for start in range(0, RESAMPLES, 50)])
    values = values[np.isfinite(values)]
    # Draws with one class only say nothing; when most are such, there is no interval to tell.
    if len(values) < RESAMPLES // 2:
        return float("nan"), float("nan")
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def ranking(subjects: Sequence[tuple[Bools, Scores]], seed: int = 0, note: str = "") -> list[Figure]:
    """AUROC and average precision over all items, with intervals by subject. subjects: (truth, scores) of each."""
    table = tabulate(subjects)
    normal, abnormal = table.normal.astype(np.float64), table.abnormal.astype(np.float64)
    items = int(table.sizes.sum())
    prevalence = float(table.sizes[1] / max(items, 1))
    figures = []
    for name, exact, binned in (
        ("AUROC", auroc, table_auroc),
        ("AP", average_precision, table_average_precision),
    ):
        if items <= MOST_EXACT:
            value = exact(*(np.concatenate([pair[part].ravel() for pair in subjects]) for part in (0, 1)))
        else:
            value = float(binned(normal.sum(0), abnormal.sum(0)))
        low, high = resample(len(subjects), partial(_of_counts, binned, normal, abnormal), seed)
        figures.append(Figure(name, value, low, high, len(subjects), items, prevalence, note))
    return figures


def overlap(
    subjects: Sequence[tuple[Bools, Scores]], threshold: float | None, seed: int = 0, note: str = ""
) -> list[Figure]:
    """Mean Dice of the subjects with a lesion: above a given threshold, and at the best common one (oracle)."""
    ill = [(truth, scores) for truth, scores in subjects if truth.any()]
    if not ill:
        return []
    items = sum(truth.size for truth, _ in ill)
    prevalence = sum(int(truth.sum()) for truth, _ in ill) / items
    table = tabulate(ill)
    at_bins = table_dice(table.normal.astype(np.float64), table.abnormal.astype(np.float64))
    best = int(at_bins.mean(0).argmax())
    rows = [("Dice (oracle)", at_bins[:, best], f"threshold {table.edges[best]:.6g} chosen with the truth")]
    if threshold is not None:
        given = np.array([dice(truth, scores > threshold) for truth, scores in ill])
        rows.insert(0, ("Dice", given, note or f"threshold {threshold:.6g} from healthy data"))
    figures = []
    for name, dices, words in rows:
        low, high = resample(len(ill), partial(_weighted_mean, dices), seed)
        figures.append(Figure(name, float(dices.mean()), low, high, len(ill), items, prevalence, words))
    return figures


def mean(name: str, values: Sequence[float], note: str = "", seed: int = 0) -> Figure:
    """The mean of one value a subject, with its interval."""
    array = np.asarray(values, np.float64)
    low, high = resample(len(array), partial(_weighted_mean, array), seed)
    return Figure(name, float(array.mean()), low, high, len(array), len(array), 0.0, note)


def _both(truth: Bools) -> bool:
    return bool(truth.any() and not truth.all())


def _ratio(above: Floats, below: Floats, empty: float = float("nan")) -> Floats:
    out = np.full(np.shape(above), empty)
    np.divide(above, below, out=out, where=np.asarray(below) > 0)
    return out


def _of_counts(binned: Callable[[Floats, Floats], Floats], normal: Floats, abnormal: Floats, weights: Floats) -> Floats:
    return binned(weights @ normal, weights @ abnormal)


def _weighted_mean(values: Floats, weights: Floats) -> Floats:
    return np.asarray((weights @ values) / weights.sum(1))
