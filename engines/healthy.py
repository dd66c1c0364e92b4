"""Measuring a calibration: healthy volumes come in one by one, three scales go out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.calibration import FEWEST_STUDIES, Calibration, Floats, SliceScale
from engines.errors import BadCohort
from engines.result import PercentileScale

# Percentiles a scale keeps: half steps in the middle, fine ones in the tail, where thresholds live.
TABLE = np.unique(
    np.concatenate(
        [[0.01, 0.1, 0.2], np.arange(0.5, 99, 0.5), np.arange(99, 99.9, 0.05), np.linspace(99.9, 100, 41)]
    ).round(6)
)
# Points of one volume's distribution that are remembered: 2,000 even ones, 400 in the upper tail.
REMEMBERED = np.unique(np.concatenate([np.linspace(0, 1, 2001), 1 - np.logspace(-6, -2, 400)]))
MOST_POINTS = 20_000
HEIGHTS = np.linspace(0, 1, 41)
# Width of the smoothing over height: a twentieth of the brain, 7 mm, so that a few subjects fill every height.
BANDWIDTH = 0.05


@dataclass(slots=True)
class HealthyScores:
    """Collects the scores of healthy volumes; build() makes the calibration. Memory: 20 KB a volume."""

    _values: dict[str, list[tuple[Floats, Floats]]] = field(default_factory=dict)
    _slices: list[tuple[str, Floats, Floats]] = field(default_factory=list)
    _studies: dict[str, list[float]] = field(default_factory=dict)

    def add(
        self,
        subject: str,
        values: NDArray[Any],
        slice_scores: NDArray[Any],
        heights: NDArray[Any],
        score: float = float("nan"),
    ) -> None:
        """Take in one healthy volume.

        values: the heatmap inside the scored region, (n,). slice_scores, heights: (slices,), NaN where not scored.
        score: of the study; NaN where only some of its slices are healthy.
        """
        if not np.isfinite(values).all():
            raise ValueError("a heatmap must be finite inside its region")
        if len(values):
            self._values.setdefault(subject, []).append(_remember(values))
        known = np.isfinite(slice_scores) & np.isfinite(heights)
        self._slices.append((subject, np.asarray(slice_scores[known], float), np.asarray(heights[known], float)))
        if np.isfinite(score):
            self._studies.setdefault(subject, []).append(float(score))

    def add_study(self, subject: str, score: float) -> None:
        """Take in a study's score that could not be told before all volumes were seen."""
        self._studies.setdefault(subject, []).append(float(score))

    def build(self) -> Calibration:
        """The calibration of everything taken in; raises BadCohort when there was nothing."""
        if not self._values or not any(len(scores) for _, scores, _ in self._slices):
            raise BadCohort(
                "There is no healthy volume to calibrate on.", "Label some subjects of the split 'val' as normal."
            )
        studies = np.array([np.mean(scores) for scores in self._studies.values()])
        enough = len(studies) >= FEWEST_STUDIES
        return Calibration(
            heatmap=_mixture(list(self._values.values()), np.ones(len(self._values))),
            slices=self._slice_scale(),
            study=ranked_scale(studies, np.ones(len(studies))) if enough else None,
            subjects=len(self._values),
        )

    def _slice_scale(self) -> SliceScale:
        slices_of: dict[str, int] = {}
        for subject, scores, _ in self._slices:
            slices_of[subject] = slices_of.get(subject, 0) + len(scores)
        scores = np.concatenate([scores for _, scores, _ in self._slices])
        heights = np.concatenate([heights for _, _, heights in self._slices])
        weights = np.concatenate([np.full(len(own), 1 / max(slices_of[name], 1)) for name, own, _ in self._slices])
        means, deviations = _smooth_over_height(scores, heights, weights)
        standardised = (scores - np.interp(heights, HEIGHTS, means)) / np.interp(heights, HEIGHTS, deviations)
        return SliceScale(HEIGHTS.copy(), means, deviations, ranked_scale(standardised, weights))


@dataclass(frozen=True, slots=True, eq=False)
class HealthyPart:
    """Healthy slices of a study that is not healthy as a whole.

    values: the heatmap inside their scored region, (n,). slice_scores, heights: (slices,), of them alone. share: of the
    study's scored region that they are, 0..1; so much of a healthy subject they count.
    """

    values: NDArray[Any]
    slice_scores: NDArray[Any]
    heights: NDArray[Any]
    share: float


def with_parts(calibration: Calibration, parts: Sequence[HealthyPart]) -> Calibration:
    """The calibration with more healthy slices, whatever the engine that made it; the study's scale stays.

    Percentiles change, the usual slice score at each height does not: a few slices say little about a height.
    """
    parts = [part for part in parts if len(part.values)]
    if not parts:
        return calibration
    weights = np.array([calibration.subjects, *(part.share for part in parts)])
    known = (calibration.heatmap.values, calibration.heatmap.percentiles / 100)
    heatmap = _mixture([[known], *([_remember(part.values)] for part in parts)], weights)
    slices = calibration.slices
    scores = [slices.standardised(part.slice_scores, part.heights) for part in parts]
    scores = [one[np.isfinite(one)] for one in scores]
    counts = np.concatenate([np.full(len(s), w / max(len(s), 1)) for s, w in zip(scores, weights[1:], strict=True)])
    scale = _more_ranks(slices.scale, float(weights[0]), np.concatenate(scores), counts)
    return replace(calibration, heatmap=heatmap, slices=replace(slices, scale=scale))


def _more_ranks(scale: PercentileScale, weight: float, values: Floats, weights: Floats) -> PercentileScale:
    """A scale that stands for so much weight, with more values: mid-ranks among all of them."""
    points = np.unique(np.concatenate([scale.values, values]))
    known = np.interp(points, scale.values, scale.percentiles / 100, left=0.0, right=1.0)
    below = ((values < points[:, None]) + 0.5 * (values == points[:, None])) @ weights
    return _strict(points, 100 * (weight * known + below) / (weight + weights.sum()))


def ranked_scale(values: Floats, weights: Floats) -> PercentileScale:
    """Value -> percentile from a small weighted sample, by mid-ranks.

    The highest of n values gets 100 (n - 1/2) / n and no more: twelve healthy studies cannot prove a 99th percentile.
    """
    order = np.argsort(values, kind="stable")
    values, weights = values[order], weights[order]
    ranks = 100 * (np.cumsum(weights) - weights / 2) / weights.sum()
    return _strict(values, ranks)


def _remember(values: NDArray[Any]) -> tuple[Floats, Floats]:
    """Points (value, share of values up to it) of one volume's distribution, exact at each point."""
    ordered = np.sort(np.asarray(values).ravel())
    index = np.unique(np.rint(REMEMBERED * (len(ordered) - 1)).astype(np.int64))
    points = ordered[index].astype(np.float64)
    shares = np.searchsorted(ordered, ordered[index], side="right") / len(ordered)
    distinct = np.append(np.diff(points) > 0, True)
    return points[distinct], shares[distinct]


def _mixture(subjects: list[list[tuple[Floats, Floats]]], weights: Floats) -> PercentileScale:
    """The distribution in which each subject has its weight, as a table of at most len(TABLE) entries."""
    points = np.unique(np.concatenate([points for volumes in subjects for points, _ in volumes]))
    if len(points) > MOST_POINTS:
        # Every n-th of the body, all of the upper end, where the thresholds are read.
        body = points[: -MOST_POINTS // 2]
        points = np.concatenate([body[:: len(body) // (MOST_POINTS // 2) + 1], points[-MOST_POINTS // 2 :]])
    shares = np.zeros(len(points))
    for volumes, weight in zip(subjects, weights / weights.sum(), strict=True):
        for own_points, own_shares in volumes:
            shares += weight * _share_up_to(points, own_points, own_shares) / len(volumes)
    return _strict(points, 100 * np.minimum(shares, 1))


def _share_up_to(at: Floats, points: Floats, shares: Floats) -> Floats:
    return np.interp(at, points, shares, left=0.0, right=1.0)


def _strict(values: Floats, percentiles: Floats) -> PercentileScale:
    """A table that increases strictly in both columns, thinned to the percentiles of TABLE."""
    last_of_equal = np.append(np.diff(values) > 0, True)
    values, percentiles = values[last_of_equal], percentiles[last_of_equal]
    if len(values) > len(TABLE):
        chosen = np.unique(np.searchsorted(percentiles, TABLE - 1e-9).clip(max=len(values) - 1))
        values, percentiles = values[chosen], percentiles[chosen]
    rising = np.append(True, np.diff(percentiles) > 0)
    values, percentiles = values[rising], percentiles[rising]
    if len(values) == 1:
        # Healthy tissue is all alike here: anything above it lies beyond all of it.
        values = np.array([values[0], np.nextafter(values[0], np.inf)])
        percentiles = np.array([50.0, 100.0])
    return PercentileScale(values, percentiles)


def _smooth_over_height(scores: Floats, heights: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weighted mean and standard deviation at HEIGHTS, by a kernel that widens where slices are rare."""
    overall = max(float(np.sqrt(np.cov(scores, aweights=weights))) if len(scores) > 1 else 0.0, 1e-12)
    fits = [_local_fit(heights - height, scores, weights) for height in HEIGHTS]
    means, deviations = np.array([mean for mean, _ in fits]), np.array([deviation for _, deviation in fits])
    # A floor keeps a height with a single healthy slice from dividing by nothing.
    return means, np.maximum(deviations, 0.1 * overall)


def _local_fit(apart: Floats, scores: Floats, weights: Floats) -> tuple[float, float]:
    """Value at apart = 0 of a line through the scores nearby, and the deviation from it.

    A line, not a mean: scores change fast at both ends of the brain, where neighbours lie on one side only.
    """
    nearest = float(np.abs(apart).min())
    kernel = weights * np.exp(-0.5 * (apart / max(BANDWIDTH, nearest)) ** 2)
    kernel /= kernel.sum()
    mean, centre = float(kernel @ scores), float(kernel @ apart)
    spread = float(kernel @ (apart - centre) ** 2)
    # Where there is nothing near, or all lies at one height (pictures), a line would only invent.
    sloping = nearest <= BANDWIDTH and spread > (BANDWIDTH / 4) ** 2
    slope = float(kernel @ ((apart - centre) * (scores - mean))) / spread if sloping else 0.0
    residuals = scores - mean - slope * (apart - centre)
    return mean - slope * centre, float(np.sqrt(kernel @ residuals**2))
