"""A small real engine for tests: how many standard deviations a voxel's brightness lies from healthy tissue.

It is complete (fit, calibrate, detect) and needs no torch. It stands outside the package and is found through the
entry point group, as a stranger's engine would be: `with installed(folder): ...` or the fixture `fake_engine`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import catalog, model_package
from engines.calibration import Calibration, slice_heights
from engines.card import Card
from engines.contract import Report, silent
from engines.errors import BadCohort, BadVolume
from engines.files import load_volume
from engines.healthy import HealthyScores
from engines.model_card import ModelCard, TrainingData
from engines.result import AnomalyResult, Provenance
from engines.samples import Cohort
from engines.volume import Volume

REPOSITORY = Path(__file__).resolve().parents[2]
CARD = Card(
    key="fake",
    title="Brightness",
    paper="none",
    dims="2D+3D",
    supervision="Healthy volumes",
    inputs=("FLAIR", "T1"),
    load="tests.engines.fake_engine:FakeEngine",
    settings="tests.engines.fake_engine:Settings",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """pause_s: seconds to sleep after each slice, so that tests can watch, cancel and kill a run."""

    pause_s: float = 0.0
    foreground: float = 0.2

    @classmethod
    def tiny(cls) -> Settings:
        """Trains at once."""
        return cls()


class FakeEngine:
    """Brightness as an engine."""

    card = CARD

    def __init__(self, model: Path, device: str = "auto") -> None:
        loaded = model_package.load(model, CARD.key)
        self.settings = Settings(**loaded.card.settings)  # type: ignore[arg-type]
        self._card = loaded.card
        self._mean = float(loaded.weights["mean"][0])
        self._deviation = float(loaded.weights["deviation"][0])
        self._calibration = Calibration.from_arrays(loaded.calibration)

    def detect(self, volume: Volume, report: Report = silent) -> AnomalyResult:
        """Heatmap: |brightness - healthy mean| in healthy standard deviations."""
        started = time.monotonic()
        bright, region = _brightness(volume, self.settings)
        heatmap = _distance(bright, region, self._mean, self._deviation)
        scores = _slice_scores(heatmap, region, volume.slice_axis, self.settings.pause_s, report)
        provenance = Provenance(
            engine=CARD.key,
            model=self._card.name,
            model_digest=self._card.digest,
            settings=asdict(self.settings),
            device="cpu",
            precision="fp32",
            seconds=time.monotonic() - started,
            volume_uid=volume.uid,
            warnings=(*self._calibration.warnings, *self._card.modality_warning(volume.modality)),
        )
        return self._calibration.result(volume, heatmap, region, scores, float(np.nanmax(scores)), provenance)

    @classmethod
    def fit(
        cls,
        cohort: Cohort,
        out: Path,
        settings: Settings | None = None,
        *,
        device: str = "auto",
        resume: bool = False,
        report: Report = silent,
    ) -> Path:
        """Mean and standard deviation of healthy brightness."""
        settings = settings or Settings()
        healthy = cohort.select(split="train", label="normal").samples
        if not healthy:
            raise BadCohort("The cohort has no normal volume to train on.", "Label some as normal.")
        values = []
        for done, sample in enumerate(healthy):
            report(done, len(healthy), "Training")
            bright, region = _brightness(load_volume(sample), settings)
            values.append(bright[region])
        pooled = np.concatenate(values)
        weights = {"mean": np.array([pooled.mean()]), "deviation": np.array([pooled.std()])}
        weights = {name: array.astype(np.float32) for name, array in weights.items()}
        card = ModelCard(
            engine=CARD.key,
            name="Brightness of phantoms",
            modality=healthy[0].modality,
            settings=asdict(settings),
            training_data=(TrainingData(cohort=cohort.name, digest=cohort.digest, subjects=len(healthy)),),
        )
        calibration = _calibrate(cohort, settings, float(weights["mean"][0]), float(weights["deviation"][0]), report)
        model_package.write(out, card, weights, calibration.to_arrays())
        return out

    @classmethod
    def calibrate(cls, model: Path, cohort: Cohort, *, device: str = "auto", report: Report = silent) -> None:
        """Measure the healthy percentiles anew."""
        engine = cls(model, device)
        calibration = _calibrate(cohort, engine.settings, engine._mean, engine._deviation, report)
        model_package.replace_calibration(model, calibration.to_arrays())


def _brightness(volume: Volume, settings: Settings) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    voxels = volume.voxels if volume.voxels.ndim == 3 else volume.voxels.mean(-1)
    if not np.isfinite(voxels).all():
        raise BadVolume("The volume holds values that are not numbers.", "Export it again.")
    region = voxels > settings.foreground * np.percentile(voxels, 99)
    if not region.any() or voxels.min() == voxels.max():
        raise BadVolume("The volume is empty.", "Choose another series.")
    return (voxels / np.median(voxels[region])).astype(np.float32), region


def _distance(
    bright: NDArray[np.float32], region: NDArray[np.bool_], mean: float, deviation: float
) -> NDArray[np.float32]:
    return np.where(region, np.abs(bright - mean) / deviation, 0).astype(np.float32)


def _slice_scores(
    heatmap: NDArray[np.float32], region: NDArray[np.bool_], axis: int, pause_s: float, report: Report
) -> NDArray[np.float32]:
    slices = heatmap.shape[axis]
    scores = np.full(slices, np.nan, np.float32)
    for index in range(slices):
        report(index, slices, f"Slice {index + 1} of {slices}")
        inside = heatmap.take(index, axis)[region.take(index, axis)]
        if inside.size:
            scores[index] = np.sort(inside)[-max(1, inside.size // 20) :].mean()
        time.sleep(pause_s)
    report(slices, slices, "Done")
    return scores


def _calibrate(cohort: Cohort, settings: Settings, mean: float, deviation: float, report: Report) -> Calibration:
    healthy = cohort.select(split="val", label="normal").samples
    scores = HealthyScores()
    for done, sample in enumerate(healthy):
        report(done, len(healthy), "Calibrating")
        volume = load_volume(sample)
        bright, region = _brightness(volume, settings)
        heatmap = _distance(bright, region, mean, deviation)
        slices = _slice_scores(heatmap, region, volume.slice_axis, 0.0, silent)
        heights = slice_heights(region, volume.affine, volume.slice_axis)
        scores.add(sample.subject, heatmap[region], slices, heights, float(np.nanmax(slices)))
    return scores.build()


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """Make the engine known to the catalog, here and in child processes, as an installed package would."""
    info = folder / "fake_engine-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-engine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{catalog.ENTRY_POINT_GROUP}]\nfake = tests.engines.fake_engine:CARD\n")
    added = [str(folder), str(REPOSITORY)]
    patch = pytest.MonkeyPatch()
    for path in reversed(added):
        patch.syspath_prepend(path)
    patch.setenv("PYTHONPATH", os.pathsep.join([*added, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
    catalog.cards.cache_clear()
    try:
        yield
    finally:
        patch.undo()
        catalog.cards.cache_clear()


@pytest.fixture
def fake_engine(tmp_path: Path) -> Iterator[Card]:
    """The catalog knows the engine "fake" during one test."""
    with installed(tmp_path / "site"):
        yield CARD


def make_model(folder: Path, cohort: Cohort, **settings: Any) -> Path:
    """A trained model of the engine, for tests of whatever uses one."""
    return FakeEngine.fit(cohort, folder, Settings(**settings))
