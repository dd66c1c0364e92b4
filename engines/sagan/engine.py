"""SAGAN as an engine: detect with a model package, train one, calibrate it."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engines import device as devices
from engines import model_package
from engines.calibration import Calibration, slice_heights
from engines.contract import Report, silent
from engines.errors import BadModel
from engines.files import load_volume
from engines.healthy import HealthyScores
from engines.model_card import ModelCard
from engines.model_package import LoadedModel
from engines.new_model import fresh_card, nobody
from engines.preparation import SliceStack, prepare_slices
from engines.result import AnomalyResult, Provenance
from engines.sagan import CARD
from engines.sagan.inference import (
    HealthyResidual,
    Restored,
    heat_and_scores,
    restore_stack,
    smoothed_residual,
    study_score,
)
from engines.sagan.network import Generator
from engines.sagan.pictures import healthy_slices, held_out_samples, training_sets
from engines.sagan.settings import Settings
from engines.sagan.training import Trainer, new_generator
from engines.samples import Cohort
from engines.volume import Volume


class Sagan:
    """Restores every slice to a normal look; the heatmap is what had to change, in healthy standard deviations."""

    card = CARD

    def __init__(self, model: Path, device: str = "auto") -> None:
        loaded = model_package.load(model, CARD.key)
        self.model_card = loaded.card
        self.settings = stored_settings(loaded.card)
        self.device = devices.choose(device)
        self.calibration = Calibration.from_arrays(loaded.calibration)
        self._healthy = HealthyResidual.from_arrays(loaded.calibration, self.settings.size)
        self._generator = stored_generator(self.settings, loaded)
        self._generator.eval().requires_grad_(False).to(self.device.torch)

    def detect(self, volume: Volume, report: Report = silent) -> AnomalyResult:
        """Heatmap (healthy standard deviations), slice scores (inference.heat_and_scores) and study score."""
        started = time.monotonic()
        stack = self._prepared(volume, report)
        restored = restore_stack(self._generator, self.settings, stack, self.device, report)
        heat, slice_scores = heat_and_scores(stack, restored, self._healthy, self.settings)
        scores = stack.per_slice(slice_scores)
        region = _scored_region(stack)
        heights = slice_heights(stack.region, volume.affine, volume.slice_axis)
        provenance = Provenance(
            engine=CARD.key,
            model=f"{self.model_card.name} {self.model_card.version}",
            model_digest=self.model_card.digest,
            settings=dataclasses.asdict(self.settings),
            device=restored.device,
            precision=self.device.precision if restored.device == self.device.name else "fp32",
            seconds=time.monotonic() - started,
            volume_uid=volume.uid,
            preparation=stack.steps,
            warnings=(
                *self.calibration.warnings,
                *restored.warnings,
                *self.model_card.modality_warning(volume.modality),
            ),
            versions={"torch": str(torch.__version__), "numpy": np.__version__},
        )
        return self.calibration.result(
            volume,
            stack.to_volume(heat),
            region,
            scores,
            study_score(scores, self.calibration.slices.standardised(scores, heights)),
            provenance,
            {
                "restored": stack.to_volume(restored.pictures),
                "attention": stack.to_volume(restored.attention),
            },
            heights=heights,
        )

    def _prepared(self, volume: Volume, report: Report = silent) -> SliceStack:
        settings = self.settings
        return prepare_slices(
            volume, settings.size, margin=settings.margin, normalisation=settings.normalisation, report=report
        )

    @classmethod
    def fit(
        cls,
        cohort: Cohort,
        out: Path,
        settings: Any = None,
        *,
        device: str = "auto",
        resume: bool = False,
        report: Report = silent,
    ) -> Path:
        """Train on known normal and unlabeled slices, calibrate on held-out normal ones, write the package to out.

        Checkpoints lie in the folder `out` + ".training", so that `resume` goes on after a kill; it is kept.
        """
        settings = settings or Settings()
        chosen = devices.choose(device)
        trainer = Trainer(settings, training_sets(cohort, settings, report), chosen.torch)
        state = trainer.run(out.with_name(out.name + ".training"), resume=resume, report=report)
        network = state.averaged.get("generator", trainer.generator)
        weights = state.best or network.state_dict()
        train = cohort.select(split="train")
        card = fresh_card(
            CARD,
            cohort,
            train.samples,
            settings,
            preparation={"normalisation": settings.normalisation, "size": settings.size, "margin": settings.margin},
            limits=LIMITS,
            seconds=state.seconds,
        )
        unknown = HealthyResidual.unknown(settings.size).to_arrays()
        model_package.write(out, card, weights, {**nobody(), **unknown}, half=True)
        cls.calibrate(out, cohort, device=device, report=report)
        return out

    @classmethod
    def calibrate(cls, model: Path, cohort: Cohort, *, device: str = "auto", report: Report = silent) -> None:
        """Measure residuals and scores on the held-out healthy slices of the cohort and store their percentiles."""
        engine = cls(model, device)
        samples = held_out_samples(cohort, engine.settings)
        seen: list[tuple[str, bool, Volume, SliceStack, Restored]] = []
        for done, sample in enumerate(samples):
            report(done, len(samples), f"calibrating on {sample.subject}")
            volume = load_volume(sample)
            stack = engine._prepared(volume).only(healthy_slices(sample))
            if len(stack.indices):
                restored = restore_stack(engine._generator, engine.settings, stack, engine.device, silent)
                seen.append((sample.subject, sample.label == "normal", volume, stack, restored))
        healthy = HealthyResidual.measured(
            [(smoothed_residual(stack, restored, engine.settings), stack.foreground) for *_, stack, restored in seen]
        )
        found = [heat_and_scores(stack, restored, healthy, engine.settings) for *_, stack, restored in seen]
        # Twice, since a study's score is made of slice scores that are standardised by the first pass.
        calibration = _measured(seen, found, None)
        calibration = _measured(seen, found, calibration)
        model_package.replace_calibration(model, {**calibration.to_arrays(), **healthy.to_arrays()})
        report(len(samples), len(samples), "calibrated")


LIMITS = (
    "Pixels of about 3 mm: lesions under 1 cm or of low contrast vanish. Other scanners, contrasts and fields of view "
    "than in training raise every score. Hyper- and hypointensities look alike. Compare scores within one model only."
)


def stored_generator(settings: Settings, loaded: LoadedModel) -> Generator:
    """The generator of a package; raises BadModel where its weights do not fit."""
    generator = new_generator(settings)
    try:
        generator.load_state_dict({key: torch.from_numpy(value) for key, value in loaded.weights.items()})
    except (RuntimeError, ValueError) as error:
        raise BadModel(
            f"The weights of '{loaded.card.name}' do not fit its settings.", "Train or add the model again."
        ) from error
    return generator


def stored_settings(card: ModelCard) -> Settings:
    """The settings of a package; raises BadModel where they are not SAGAN's."""
    try:
        values: dict[str, Any] = dict(card.settings)
        values["betas"] = tuple(values["betas"])
        return Settings(**values)
    except (TypeError, KeyError) as error:
        raise BadModel(f"The settings of '{card.name}' are not SAGAN's.", "Train or add the model again.") from error


def _scored_region(stack: SliceStack) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The foreground of the slices that were looked at, on the volume's grid."""
    looked_at = np.zeros(stack.slices, bool)
    looked_at[stack.indices] = True
    shape = [1, 1, 1]
    shape[stack.axis] = stack.slices
    scored: np.ndarray[Any, np.dtype[np.bool_]] = stack.region & looked_at.reshape(shape)
    return scored


def _measured(
    seen: list[tuple[str, bool, Volume, SliceStack, Restored]],
    found: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]],
    first: Calibration | None,
) -> Calibration:
    scores = HealthyScores()
    for (subject, whole, volume, stack, _), (heat, slice_scores) in zip(seen, found, strict=True):
        region = _scored_region(stack)
        per_slice = stack.per_slice(slice_scores)
        heights = slice_heights(stack.region, volume.affine, volume.slice_axis)
        known = first.slices.standardised(per_slice, heights) if first else per_slice
        score = study_score(per_slice, known) if whole else float("nan")
        scores.add(subject, stack.to_volume(heat)[region], per_slice, heights, score)
    return scores.build()
