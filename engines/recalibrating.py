"""What corrections give engines that learn from healthy scans only: what was called healthy joins the healthy set.

Weights stay. Studies called healthy as a whole join the cohort's healthy subjects, and the percentiles are measured
anew. Slices called healthy in a study with a lesion are then added by their heatmap and slice scores alone: what is
measured by place or needs a whole brain comes from whole studies, and the study's other slices count nowhere.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines import catalog, model_package
from engines.calibration import Calibration, slice_heights
from engines.contract import Engine, Report, silent
from engines.corrections import AUTO, REJECTED, CorrectedVolume
from engines.errors import BadInput
from engines.healthy import HealthyPart, with_parts
from engines.metrics import dice
from engines.model_card import ModelCard, TrainingData
from engines.result import DEFAULT_PERCENTILE, AnomalyResult
from engines.samples import Cohort, Sample
from engines.volume import Volume

# A correction and its healthy slices, bool (slices,).
Healthy = tuple[CorrectedVolume, NDArray[np.bool_]]


def healthy_studies(corrected: Sequence[CorrectedVolume]) -> list[CorrectedVolume]:
    """Corrections in which a reader found nothing at all: slices called healthy, and no mask left undecided."""
    found = []
    for one in corrected:
        others = tuple(n for n in range(3) if n != one.slice_axis)
        undecided = np.array([state == AUTO for state in one.states]) & one.automatic.any(axis=others)
        if REJECTED in one.states and not one.mask.any() and not undecided.any():
            found.append(one)
    return found


def healthy_slices(corrected: Sequence[CorrectedVolume]) -> list[Healthy]:
    """Slices called healthy in studies that are not healthy as a whole, or where something is left undecided.

    Corrections along another axis than slices are scored along are left out: their slices have no score.
    """
    whole = healthy_studies(corrected)
    found = []
    for one in corrected:
        others = tuple(n for n in range(3) if n != one.slice_axis)
        called = np.array([state == REJECTED for state in one.states]) & ~one.mask.any(axis=others)
        scored_along = Volume(one.mask.astype(np.float32), one.affine).slice_axis
        if called.any() and one.slice_axis == scored_along and not any(one is other for other in whole):
            found.append((one, called))
    return found


def joined(cohort: Cohort, healthy: Sequence[CorrectedVolume]) -> Cohort:
    """The cohort with these studies among its healthy subjects for calibration."""
    taken = set(cohort.subjects)
    more = []
    for number, one in enumerate(healthy):
        if one.scan is None:
            raise BadInput(f"The scan of the correction {one.name} is not at hand.", "Export it with its scan.")
        name = one.subject if one.subject not in taken else f"{one.subject} ({number})"
        more.append(Sample(name, one.scan, one.modality, "normal", "val"))
    return replace(cohort, samples=(*cohort.samples, *more))


def recalibrate(
    model: Path,
    corrected: Sequence[CorrectedVolume],
    cohort: Cohort,
    out: Path,
    *,
    device: str = "auto",
    report: Report = silent,
) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Write the model with new percentiles to `out`; returns (Dice, false positives) before and after, and seconds.

    Dice: mean over decided slices with a lesion, at the default percentile. False positives: share marked of what was
    called healthy. From two studies with something healthy on one is kept apart for it; a single one is in both.
    """
    began = time.monotonic()
    whole: list[Healthy] = [(one, np.ones(len(one.states), bool)) for one in healthy_studies(corrected)]
    partly = healthy_slices(corrected)
    # The last one is kept apart, a whole study where there are two.
    healthy = [*partly, *whole] if len(whole) > 1 else [*whole, *partly]
    if not healthy:
        raise BadInput(
            "This engine learns from healthy scans only, and no corrected slice was called healthy.",
            "Call marked slices healthy where nothing is to be seen, or choose an engine that learns from outlines.",
        )
    parent = model_package.read_card(model)
    learned = healthy[:-1] or healthy
    shutil.copytree(model, out)
    model_package.replace_card(out, _card(parent, [one for one, _ in learned]))
    studies = [one for one, slices in learned if slices.all()]
    if studies:
        catalog.engine_class(parent.engine).calibrate(out, joined(cohort, studies), device=device, report=report)
    parts = [(one, slices) for one, slices in learned if not slices.all()]
    if parts:
        _add_parts(out, catalog.create(parent.engine, out, device), parts, report)
    ill = [one for one in corrected if one.mask.any()]
    engines = [catalog.create(parent.engine, folder, device) for folder in (model, out)]
    before, after = (_figures(engine, ill, healthy[-1:]) for engine in engines)
    return before, after, time.monotonic() - began


def _add_parts(model: Path, engine: Engine, parts: Sequence[Healthy], report: Report) -> None:
    """Slices called healthy join the percentiles of the package that `engine` was made from."""
    found = []
    for done, (one, slices) in enumerate(parts):
        report(done, len(parts), f"measuring healthy slices of {one.name}")
        volume = one.volume()
        result = engine.detect(volume)
        inside = _of_slices(result, slices)
        heights = slice_heights(result.region, volume.affine, result.slice_axis)
        share = float(inside.sum() / max(result.region.sum(), 1))
        found.append(HealthyPart(result.heatmap[inside], result.slice_scores[slices], heights[slices], share))
    arrays = model_package.read_calibration(model)
    calibration = with_parts(Calibration.from_arrays(arrays), found)
    model_package.replace_calibration(model, {**arrays, **calibration.to_arrays()})


def _of_slices(result: AnomalyResult, slices: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The scored region of some slices, bool (i, j, k)."""
    shape = [1, 1, 1]
    shape[result.slice_axis] = len(slices)
    inside: NDArray[np.bool_] = result.region & slices.reshape(shape)
    return inside


def _figures(engine: Engine, ill: Sequence[CorrectedVolume], healthy: Sequence[Healthy]) -> tuple[float, float]:
    overlaps = []
    for one in ill:
        found = engine.detect(one.volume()).mask(DEFAULT_PERCENTILE)
        for index in np.flatnonzero(one.decided):
            drawn, shown = (np.asarray(mask.take(index, one.slice_axis)) for mask in (one.mask, found))
            if drawn.any():
                overlaps.append(dice(drawn, shown))
    marked = scored = 0
    for one, slices in healthy:
        result = engine.detect(one.volume())
        inside = _of_slices(result, slices)
        marked += int(result.mask(DEFAULT_PERCENTILE)[inside].sum())
        scored += int(inside.sum())
    return float(np.mean(overlaps)) if overlaps else 0.0, marked / max(scored, 1)


def _card(parent: ModelCard, healthy: Sequence[CorrectedVolume]) -> ModelCard:
    note = "Studies and slices readers called healthy; in the calibration only."
    data = TrainingData(cohort="corrections", digest="", subjects=len({one.subject for one in healthy}), note=note)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    update = {"parent": parent.digest, "created": now, "training_data": (*parent.training_data, data), "metrics": ()}
    return parent.model_copy(update=update)
