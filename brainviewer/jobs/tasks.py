"""What the children run besides the readers: plain arguments in, plain results out, heavy imports inside."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brainviewer.storage import runs
from engines import AnomalyResult, BadInput, Report, Volume, silent

if TYPE_CHECKING:
    from brainviewer.reading.mask import DrawnMask
    from engines.comparison import Pair
    from engines.curves import Curve, Dots
    from engines.findings import Finding
    from engines.truth import Verdict


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A result with what the views draw: the healthy percentile (0..100) of each voxel, 0 outside the region."""

    result: AnomalyResult
    percentiles: NDArray[np.float32]


def detect(key: str, model: Path, volume: Volume, device: str = "auto", report: Report = silent) -> AnomalyResult:
    """Run one engine on one volume."""
    from engines import catalog

    report(0, 1, "Loading the model")
    return catalog.create(key, model, device).detect(volume, report)


def detect_for_display(
    key: str, model: Path, volume: Volume, device: str = "auto", report: Report = silent
) -> Detection:
    """Run one engine and turn its heatmap into healthy percentiles, here, so that the window need not."""
    result = detect(key, model, volume, device, report)
    return Detection(result, percentiles_of(result))


def rethreshold_for_display(
    key: str,
    model: Path,
    digest: str,
    volume: Volume,
    curve: NDArray[np.float64],
    gamma: float,
    device: str = "auto",
    report: Report = silent,
) -> Detection:
    """The run that a former one would have been with another gamma; `digest`: of the weights that made the curve."""
    from engines import catalog, model_package
    from engines.contract import Rethresholdable

    report(0, 1, "Loading the model")
    if model_package.read_card(model).digest != digest:
        raise BadInput("The model of this run has changed since.", "Run the engine again.")
    engine = catalog.create(key, model, device)
    if not isinstance(engine, Rethresholdable):
        raise BadInput("This engine knows no gamma.")
    result = engine.rethreshold(volume, curve, gamma, report)
    return Detection(result, percentiles_of(result))


def percentiles_of(result: AnomalyResult) -> NDArray[np.float32]:
    """Healthy percentile of each voxel of a heatmap; 0 outside the scored region."""
    percentiles = np.zeros(result.heatmap.shape, np.float32, order="F")
    percentiles[result.region] = result.scale.percentile(result.heatmap[result.region])
    return percentiles


@dataclass(frozen=True, slots=True)
class Found:
    """Findings of all runs on one volume, and every two of these runs compared."""

    findings: tuple[Finding, ...]
    pairs: tuple[Pair, ...]


def find(
    percentiles: Sequence[NDArray[np.float32]],
    regions: Sequence[NDArray[np.bool_]],
    affine: NDArray[np.float64],
    threshold: float,
    calibrated: bool,
    oriented: bool,
) -> Found:
    """List what lies above the threshold in each run, and compare the runs."""
    from engines import comparison, findings

    found = findings.findings(percentiles, regions, affine, threshold, calibrated=calibrated, oriented=oriented)
    return Found(tuple(found), tuple(comparison.pairs(percentiles, regions, threshold)))


def align(
    percentiles: NDArray[np.float32],
    region: NDArray[np.bool_],
    affine: NDArray[np.float64],
    shape: tuple[int, int, int],
    target: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A run's maps on another grid of the same patient."""
    from engines.comparison import on_grid

    return on_grid(percentiles, affine, shape, target), on_grid(region, affine, shape, target, "nearest")


def consensus(
    percentiles: Sequence[NDArray[np.float32]],
    regions: Sequence[NDArray[np.bool_]],
    threshold: float,
    least: int,
) -> NDArray[np.uint8]:
    """Where at least so many runs lie above the threshold."""
    from engines import comparison

    return comparison.consensus(percentiles, regions, threshold, least)


def align_mask(
    title: str,
    voxels: NDArray[np.uint8],
    affine: NDArray[np.float64],
    shape: tuple[int, int, int],
    target: NDArray[np.float64],
) -> list[DrawnMask]:
    """A mask on another grid of the same patient."""
    from brainviewer.reading.mask import placed

    return [placed(title, voxels > 0, affine, shape, target)]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A run against the truth: figures, and the curves behind them (None where only one class is there)."""

    verdict: Verdict
    roc: Curve | None
    precision_recall: Curve | None


def measure(
    percentiles: Sequence[NDArray[np.float32]],
    regions: Sequence[NDArray[np.bool_]],
    slice_scores: Sequence[NDArray[np.float32]],
    slice_axis: int,
    truth: NDArray[np.uint8],
    spacing_mm: tuple[float, float, float],
    threshold: float,
    report: Report = silent,
) -> list[Measured]:
    """Each run against a drawn truth on the same grid; slice_scores: NaN where a slice was not scored."""
    from engines.curves import precision_recall, roc
    from engines.truth import judge

    drawn, found = truth > 0, []
    for done, (values, region, scores) in enumerate(zip(percentiles, regions, slice_scores, strict=True)):
        report(done, len(percentiles), "Measuring")
        verdict = judge(values, region, scores, slice_axis, drawn, spacing_mm, threshold)
        known, inside = drawn[region], values[region]
        found.append(Measured(verdict, roc(known, inside), precision_recall(known, inside)))
    return found


def agreement_dots(
    percentiles: Sequence[NDArray[np.float32]], regions: Sequence[NDArray[np.bool_]]
) -> dict[tuple[int, int], Dots]:
    """Bland-Altman of every two runs, on the voxels both scored."""
    from engines.curves import bland_altman

    found = {}
    for first in range(len(percentiles)):
        for second in range(first + 1, len(percentiles)):
            both = regions[first] & regions[second]
            dots = bland_altman(percentiles[first][both], percentiles[second][both])
            if dots is not None:
                found[first, second] = dots
    return found


def keep_run(folder: Path, result: AnomalyResult, volume: Volume) -> None:
    """Write a run into its folder."""
    from engines import results

    results.write(folder, result, volume)


def read_run(folder: Path) -> Detection:
    """A kept run, ready to be shown."""
    from engines import results

    result = results.read(folder)
    return Detection(result, percentiles_of(result))


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """What the library notes of a run whose files are written."""

    model_digest: str
    seconds: float
    score: float
    score_percentile: float


def run_queued(
    path: Path,
    study_uid: str,
    series_uid: str,
    engine: str,
    model: Path,
    folder: Path,
    device: str = "auto",
    report: Report = silent,
) -> QueuedRun:
    """Read a series, run an engine on it and write the run into its folder."""
    from brainviewer import reading
    from engines import results

    if not path.exists():
        raise BadInput("The files of the study are not there any more.", "Connect the drive, then retry.")
    report(0, 1, "Reading the study")
    every = {one.uid: one for study in reading.scan([path], report) if study.uid == study_uid for one in study.series}
    if series_uid not in every:
        raise BadInput("The series is not in the study any more.", "Open the study once, then retry.")
    volume = reading.load(every[series_uid], report)
    result = detect(engine, model, volume, device, report)
    results.write(folder, result, volume)
    how = result.provenance
    return QueuedRun(how.model_digest, how.seconds, result.score, result.score_percentile)


def repeat(folder: Path, model: Path, volume: Volume, device: str = "auto", report: Report = silent) -> str:
    """Do a stored run again and say how it compares."""
    from engines import catalog, repeating, results

    stored = results.read(folder)
    if stored.heatmap.shape != volume.shape:
        raise BadInput("The stored run lies on another grid than the series has now.", "Run the engine anew.")
    again = catalog.create(stored.provenance.engine, model, device).detect(volume, report)
    return str(repeating.compare(stored, again))


def remove_runs(keys: Collection[str]) -> None:
    """Delete the files of runs."""
    for key in keys:
        runs.remove(key)


def missing(paths: Collection[Path]) -> frozenset[Path]:
    """Those paths where nothing lies any more; a network drive may take its time to say so."""
    return frozenset(path for path in paths if not path.exists())


def warm_reading() -> None:
    """Import the readers, so that the first study opens without that wait."""
    import brainviewer.reading  # noqa: F401


def add_model(source: Path, models_folder: Path) -> Path:
    """Copy a model package, checked, into the user's models; returns its folder there."""
    from engines import model_import

    return model_import.add(source, models_folder).folder
