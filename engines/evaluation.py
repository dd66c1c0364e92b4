"""How good a model is on held-out subjects: figures per subject, slice and voxel, beside plain baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines import catalog, model_package
from engines.contract import Engine, Report, silent
from engines.errors import BadCohort, Cancelled, KnownError
from engines.files import load_mask, load_volume
from engines.metrics import Figure, mean, overlap, ranking
from engines.model_card import Metric, ModelCard
from engines.result import AnomalyResult
from engines.samples import Cohort, Sample
from engines.volume import Volume

LEVELS = ("subject", "slice", "voxel")
MEAN, BRIGHT = "mean intensity", "99.5th percentile of intensity"
# Lesions lie more often half-way up: a slice score that knows no more than this has seen nothing.
MIDDLE = "nearness to the middle"
BRIGHT_PERCENTILE = 99.5

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Items of one level with their truth: bool (n,), and each method's scores: (n,) by name."""

    truth: Bools
    scores: dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One volume and what was said about it.

    levels: only those whose truth is known. share_above: of the region, above the healthy threshold. slices: scores
    and percentiles of every slice, NaN where not scored.
    """

    sample: Sample
    levels: dict[str, Scored]
    abnormal: bool | None
    score: float
    score_percentile: float
    share_above: float
    threshold: float
    seconds: float
    slices: tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Row:
    """A figure of one method at one level."""

    level: str
    method: str
    figure: Figure


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A model on a cohort: figures, the volumes behind them, and the volumes that failed with the reason."""

    card: ModelCard
    cohort: Cohort
    rows: tuple[Row, ...]
    judged: tuple[Judged, ...]
    failed: tuple[tuple[str, str], ...]

    def metrics(self, command: str) -> tuple[Metric, ...]:
        """The figures as a model card holds them."""
        return tuple(
            Metric(
                name=f"{row.level} {row.figure.name}, {row.method}",
                value=row.figure.value,
                low=row.figure.low,
                high=row.figure.high,
                subjects=row.figure.subjects,
                data=self.cohort.name,
                command=command,
                note=row.figure.note or f"prevalence {row.figure.prevalence:.2f}",
            )
            for row in self.rows
        )


def evaluate(model: Path, cohort: Cohort, *, device: str = "auto", report: Report = silent) -> Evaluation:
    """Run a model on the cohort's samples (select the split first) and measure it.

    A volume that cannot be read or scored is left out and named; raises BadCohort when none is left.
    """
    card = model_package.read_card(model)
    engine = catalog.create(card.engine, model, device)
    judged: list[Judged] = []
    failed: list[tuple[str, str]] = []
    for done, sample in enumerate(cohort.samples):
        report(done, len(cohort), sample.subject)
        try:
            judged.append(_judge(engine, card.engine, sample, _within(report, done, len(cohort), sample.subject)))
        except Cancelled:
            raise
        except KnownError as error:
            failed.append((sample.subject, str(error)))
    if not judged:
        raise BadCohort("No volume of the cohort could be evaluated.", failed[0][1] if failed else "It is empty.")
    report(len(cohort), len(cohort), "Measuring")
    return Evaluation(card, cohort, tuple(figures(judged, card.engine)), tuple(judged), tuple(failed))


def figures(judged: Sequence[Judged], engine: str) -> list[Row]:
    """AUROC and AP at each level whose truth is known, Dice of the voxels, for the engine and the baselines."""
    rows: list[Row] = []
    for level in LEVELS:
        subjects = _subjects(judged, level)
        truths = [scored.truth for scored in subjects]
        known = np.concatenate(truths) if truths else np.empty(0, np.bool_)
        if not known.any() or known.all() or (level == "slice" and max(map(len, truths)) == 1):
            continue
        for method in subjects[0].scores:
            pairs = [(scored.truth, scored.scores[method]) for scored in subjects]
            rows += [Row(level, method, figure) for figure in ranking(pairs)]
            if level == "voxel":
                threshold = judged[0].threshold if method == engine else None
                rows += [Row(level, method, figure) for figure in overlap(pairs, threshold)]
    healthy = [one.share_above for one in judged if one.sample.label == "normal"]
    if healthy:
        note = "1 % is expected; more means that this data differs from what the model was calibrated on"
        rows.append(Row("voxel", engine, mean("share of normal subjects above the threshold", healthy, note)))
    return rows


def _within(report: Report, done: int, total: int, subject: str) -> Report:
    def within(part: int, parts: int, text: str) -> None:
        report(done, total, f"{subject}: {text}")

    return within


def _judge(engine: Engine, key: str, sample: Sample, report: Report) -> Judged:
    volume = load_volume(sample)
    mask = load_mask(sample, volume)
    result = engine.detect(volume, report)
    abnormal = bool(mask.any()) if sample.abnormal is None and mask is not None else sample.abnormal
    bright = _brightness(volume, result.region)
    levels = {}
    if abnormal is not None:
        levels["subject"] = _study_scores(key, abnormal, bright[result.region], result.score)
    if (truth := _slice_truth(sample, mask, result)) is not None:
        levels["slice"] = _slice_scores(key, truth, bright, result)
    if mask is not None and sample.label != "normal":
        scores = {key: result.heatmap[result.region], "intensity": bright[result.region]}
        levels["voxel"] = Scored(mask[result.region], scores)
    return Judged(
        sample=sample,
        levels=levels,
        abnormal=abnormal,
        score=result.score,
        score_percentile=result.score_percentile,
        share_above=float(result.mask().sum() / max(int(result.region.sum()), 1)),
        threshold=result.threshold,
        seconds=result.provenance.seconds,
        slices=(result.slice_scores, result.slice_percentiles),
    )


def _brightness(volume: Volume, region: Bools) -> NDArray[np.float32]:
    """Grey levels over their median inside the region: an MR scan's grey level has no unit."""
    voxels = volume.voxels if volume.voxels.ndim == 3 else volume.voxels.mean(-1)
    median = float(np.median(voxels[region])) if region.any() else 1.0
    return (voxels / (median or 1.0)).astype(np.float32)


def _study_scores(key: str, abnormal: bool, bright: NDArray[np.float32], score: float) -> Scored:
    scores = {key: score, MEAN: float(bright.mean()), BRIGHT: float(np.percentile(bright, BRIGHT_PERCENTILE))}
    return Scored(np.array([abnormal]), {name: np.array([value], np.float32) for name, value in scores.items()})


def _slice_truth(sample: Sample, mask: Bools | None, result: AnomalyResult) -> Bools | None:
    axis = result.slice_axis
    if sample.label == "normal":
        return np.zeros(len(result.slice_scores), np.bool_)
    # The labels run along the last voxel axis; slices that lie across another one need the mask.
    if sample.slice_labels and axis == 2:
        return np.array([label == "1" for label in sample.slice_labels])
    if mask is not None:
        return np.asarray(mask.any(axis=tuple(other for other in range(3) if other != axis)))
    return None


def _slice_scores(key: str, truth: Bools, bright: NDArray[np.float32], result: AnomalyResult) -> Scored:
    planes = np.moveaxis(bright, result.slice_axis, 0)
    regions = np.moveaxis(result.region, result.slice_axis, 0)
    scored = np.flatnonzero(np.isfinite(result.slice_scores) & regions.any(axis=(1, 2)))
    inside = [planes[index][regions[index]] for index in scored]
    scores: dict[str, Any] = {
        key: result.slice_scores[scored],
        MEAN: [values.mean() for values in inside],
        BRIGHT: [np.percentile(values, BRIGHT_PERCENTILE) for values in inside],
        MIDDLE: -np.abs(scored - scored.mean()) / max(len(scored), 1),
    }
    return Scored(truth[scored], {name: np.asarray(values, np.float32) for name, values in scores.items()})


def _subjects(judged: Sequence[Judged], level: str) -> list[Scored]:
    """The items of each subject; several volumes of one subject come together."""
    gathered: dict[str, list[Scored]] = {}
    for one in judged:
        if level in one.levels:
            gathered.setdefault(one.sample.subject, []).append(one.levels[level])
    return [
        Scored(
            np.concatenate([part.truth for part in parts]),
            {name: np.concatenate([part.scores[name] for part in parts]) for name in parts[0].scores},
        )
        for parts in gathered.values()
    ]
