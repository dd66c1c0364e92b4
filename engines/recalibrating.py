"""What corrections give engines that learn from healthy scans only: studies called healthy join the healthy set.

Weights stay; the percentiles are measured anew on the cohort's healthy subjects and these studies together.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from engines import catalog, model_package
from engines.contract import Engine, Report, silent
from engines.corrections import AUTO, REJECTED, CorrectedVolume
from engines.errors import BadInput
from engines.metrics import dice
from engines.model_card import ModelCard, TrainingData
from engines.result import DEFAULT_PERCENTILE
from engines.samples import Cohort, Sample


def healthy_studies(corrected: Sequence[CorrectedVolume]) -> list[CorrectedVolume]:
    """Corrections in which a reader found nothing at all: slices called healthy, and no mask left undecided."""
    found = []
    for one in corrected:
        others = tuple(n for n in range(3) if n != one.slice_axis)
        undecided = np.array([state == AUTO for state in one.states]) & one.automatic.any(axis=others)
        if REJECTED in one.states and not one.mask.any() and not undecided.any():
            found.append(one)
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

    Dice: mean over decided slices with a lesion, at the default percentile. False positives: share of the healthy
    studies marked. From two healthy studies on the last one is kept apart for that figure; a single one is in both.
    """
    began = time.monotonic()
    healthy = healthy_studies(corrected)
    if not healthy:
        raise BadInput(
            "This engine learns from healthy scans only, and no corrected study was called healthy as a whole.",
            "Call every marked slice of a healthy study healthy, or choose a RASALoRE model.",
        )
    parent = model_package.read_card(model)
    learned = healthy[:-1] or healthy
    shutil.copytree(model, out)
    model_package.replace_card(out, _card(parent, learned))
    catalog.engine_class(parent.engine).calibrate(out, joined(cohort, learned), device=device, report=report)
    ill = [one for one in corrected if one.mask.any()]
    engines = [catalog.create(parent.engine, folder, device) for folder in (model, out)]
    before, after = (_figures(engine, ill, healthy[-1:]) for engine in engines)
    return before, after, time.monotonic() - began


def _figures(engine: Engine, ill: Sequence[CorrectedVolume], healthy: Sequence[CorrectedVolume]) -> tuple[float, float]:
    overlaps = []
    for one in ill:
        found = engine.detect(one.volume()).mask(DEFAULT_PERCENTILE)
        for index in np.flatnonzero(one.decided):
            drawn, shown = (np.asarray(mask.take(index, one.slice_axis)) for mask in (one.mask, found))
            if drawn.any():
                overlaps.append(dice(drawn, shown))
    results = [engine.detect(one.volume()) for one in healthy]
    marked = sum(int(result.mask(DEFAULT_PERCENTILE).sum()) for result in results)
    scored = sum(int(result.region.sum()) for result in results)
    return float(np.mean(overlaps)) if overlaps else 0.0, marked / max(scored, 1)


def _card(parent: ModelCard, healthy: Sequence[CorrectedVolume]) -> ModelCard:
    note = "Studies readers called healthy; in the calibration only."
    data = TrainingData(cohort="corrections", digest="", subjects=len({one.subject for one in healthy}), note=note)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    update = {"parent": parent.digest, "created": now, "training_data": (*parent.training_data, data), "metrics": ()}
    return parent.model_copy(update=update)
