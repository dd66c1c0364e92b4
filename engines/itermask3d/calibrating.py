"""Everything that is measured on held-out healthy volumes, each one against the others.

In this order: how well each place can be filled, the percentile curves of the error and with them gamma, how scan and
filling differ at each place, and the heatmaps and scores that follow. A volume never helps to judge itself, so healthy
percentiles hold for new volumes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from engines.calibration import slice_heights
from engines.contract import Report
from engines.files import load_volume
from engines.healthy import HealthyScores
from engines.itermask3d.healthy_difference import HealthyDifference
from engines.itermask3d.healthy_error import HealthyError, pooled
from engines.itermask3d.healthy_signs import HealthySigns, gamma_of
from engines.itermask3d.preparation import prepare
from engines.itermask3d.settings import Settings
from engines.itermask3d.signs import signs
from engines.samples import Sample

if TYPE_CHECKING:
    from engines.itermask3d.engine import IterMask3d
    from engines.itermask3d.found import Found


def healthy_scales(
    engine: IterMask3d, chosen: Settings, samples: Sequence[Sample], report: Report
) -> dict[str, NDArray[Any]]:
    """The arrays of calibration.safetensors; chosen: the settings as stored, where a gamma of 0 asks to measure it.

    Leaves the engine with these scales of all samples. Raises BadCohort where there is none.
    """
    scores = HealthyScores()
    if not samples:
        scores.build()  # tells what is missing
    total = 3 * len(samples)
    grids, sums = [], []
    for done, sample in enumerate(samples):
        report(done, total, f"measuring healthy errors of {sample.subject}")
        grids.append(prepare(load_volume(sample), engine.settings))
        sums.append(pooled(engine.first_error(grids[-1]), torch.from_numpy(grids[-1].brain)))
    curves = []
    for done, (sample, grid) in enumerate(zip(samples, grids, strict=True)):
        report(len(samples) + done, total, f"measuring the curve of {sample.subject}")
        engine.healthy_error = HealthyError.measured(_others(sums, done).sum(0))
        curves.append(engine.whole_curve(grid))
    gamma = chosen.gamma or gamma_of(np.stack(curves), chosen.healthy_step, chosen.y_limit)
    engine.settings = replace(engine.settings, gamma=gamma)
    found = []
    for done, (sample, grid) in enumerate(zip(samples, grids, strict=True)):
        report(2 * len(samples) + done, total, f"calibrating on {sample.subject}")
        engine.healthy_error = HealthyError.measured(_others(sums, done).sum(0))
        # Phase B can do without phase A's masks only where it starts with the whole brain.
        found.append(engine.search(grid, curve=curves[done] if engine.settings.start == "brain" else None))
    differences, brains = [one.difference for one in found], [grid.brain for grid in grids]
    voxel_mm = engine.settings.voxel_mm
    plain = []
    for own, (sample, one) in enumerate(zip(samples, found, strict=True)):
        others = [number for number in range(len(found)) if number != own] or [own]
        engine.healthy_difference = HealthyDifference.measured(
            [differences[number] for number in others], [brains[number] for number in others], voxel_mm
        )
        plain.append(_add(scores, engine, sample, one))
    seen = [signs(one) for one in found]
    for own, sample in enumerate(samples):
        beside = [one for number, one in enumerate(seen) if number != own] or seen
        unusual = HealthySigns.measured(beside, gamma).distance(seen[own])
        scores.add_study(sample.subject, unusual if chosen.score == "unusual" else plain[own])
    engine.healthy_error = HealthyError.measured(np.stack(sums).sum(0))
    engine.healthy_difference = HealthyDifference.measured(differences, brains, voxel_mm)
    engine.healthy_signs = HealthySigns.measured(seen, gamma)
    return {
        **scores.build().to_arrays(),
        **engine.healthy_error.to_arrays(),
        **engine.healthy_difference.to_arrays(),
        **engine.healthy_signs.to_arrays(),
    }


def _add(scores: HealthyScores, engine: IterMask3d, sample: Sample, found: Found) -> float:
    """Take in heatmap and slices of one volume; its study score."""
    volume = load_volume(sample)
    result = engine.result(volume, found, time.monotonic())
    heights = slice_heights(result.region, volume.affine, volume.slice_axis)
    scores.add(sample.subject, result.heatmap[result.region], result.slice_scores, heights)
    return result.score


def _others(values: Sequence[NDArray[Any]], own: int) -> NDArray[Any]:
    """All but one, stacked; a single one judges itself for want of others."""
    return np.stack([value for number, value in enumerate(values) if number != own] or list(values))
