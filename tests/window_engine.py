"""A small engine for tests of the window: it runs in the real worker, slowly enough to be stopped or killed."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from brainviewer.jobs.tasks import Detection, percentiles_of
from engines import AnomalyResult, BadVolume, PercentileScale, Provenance
from engines.result import ITERATION_MASKS, ITERATION_SHARES, THRESHOLD_CURVE, THRESHOLD_SLOPES

STEPS = 20
PAUSE_S = 0.02


def detect(key, model, volume, device="auto", report=None):
    """Brighter is stranger: the heatmap is the voxels brought to 0..1."""
    return _detect(key, volume, report, PAUSE_S)


def detect_slowly(key, model, volume, device="auto", report=None):
    return _detect(key, volume, report, 1.0)


def detect_deaf(key, model, volume, device="auto", report=None):
    report(1, 10, "listening no more")
    time.sleep(60)


def refuse(key, model, volume, device="auto", report=None):
    raise BadVolume("This volume is too small for the engine.", "Choose a larger one.")


def detect_shrinking(key, model, volume, device="auto", report=None):
    """A run whose mask shrank in three steps to a threshold."""
    return _shrunk(_detect(key, volume, report, 0.0), 0.02)


def rethreshold(key, model, digest, volume, curve, gamma, device="auto", report=None):
    """The same with another gamma."""
    assert digest == "0" * 64
    assert np.array_equal(curve, CURVE)
    return _shrunk(_detect(key, volume, report, 0.0), gamma)


CURVE = 0.3 * np.tan(0.0148 * np.arange(1.0, 101))
SLOPES = 0.3 * 0.0148 / np.cos(0.0148 * np.arange(1.0, 101)) ** 2


def _shrunk(detection, gamma):
    result = detection.result
    limits = (-1.0, 0.333, 0.6, 0.6 + min(gamma, 0.3))
    masks = [(result.heatmap > limit) & result.region for limit in limits]
    extras = {
        THRESHOLD_CURVE: CURVE,
        THRESHOLD_SLOPES: SLOPES,
        ITERATION_MASKS: sum(mask.astype(np.uint32) << np.uint32(n) for n, mask in enumerate(masks)),
        ITERATION_SHARES: np.array([mask.sum() / result.region.sum() for mask in masks]),
    }
    how = replace(result.provenance, settings={"gamma": gamma})
    result = replace(result, extras=extras, provenance=how)
    return Detection(result, detection.percentiles)


def _detect(key, volume, report, pause_s):
    began = time.monotonic()
    for step in range(STEPS):
        report(step, STEPS, f"slice {step}")
        time.sleep(pause_s)
    report(STEPS, STEPS, "done")
    voxels = volume.voxels
    region = voxels > 0.05 * voxels.max()
    heatmap = np.where(region, voxels / max(float(voxels.max()), 1e-6), 0).astype(np.float32)
    scale = PercentileScale(np.linspace(0, 1, 50), np.linspace(0, 100, 50))
    axis = volume.slice_axis
    others = tuple(n for n in range(3) if n != axis)
    scores = heatmap.max(axis=others)
    scores[~region.any(axis=others)] = np.nan
    how = Provenance(key, "test", "0" * 64, {}, "cpu", "float32", time.monotonic() - began, volume.uid)
    result = AnomalyResult(
        heatmap,
        scale,
        region,
        axis,
        scores,
        scale.percentile(scores),
        float(np.nanmax(scores)),
        float(scale.percentile(float(np.nanmax(scores)))),
        scale.value(99.0),
        how,
    )
    return Detection(result, percentiles_of(result))


def run_queued(path, study_uid, series_uid, engine, model, folder, device="auto", report=None):
    """What the queue calls, with the small engine."""
    from brainviewer import reading
    from brainviewer.jobs.tasks import QueuedRun
    from engines import model_package, results

    (series,) = [one for study in reading.scan([path]) for one in study.series if one.uid == series_uid]
    volume = reading.load(series)
    result = _detect(engine, volume, report, PAUSE_S).result
    results.write(folder, result, volume)
    return QueuedRun(model_package.read_card(model).digest, 1.0, result.score, result.score_percentile)


def run_queued_slowly(path, study_uid, series_uid, engine, model, folder, device="auto", report=None):
    for step in range(100_000):  # nobody waits for its end
        report(step, 100_000, f"step {step}")
        time.sleep(0.05)


def refuse_queued(path, study_uid, series_uid, engine, model, folder, device="auto", report=None):
    raise BadVolume("This volume is too small for the engine.", "Choose a larger one.")
