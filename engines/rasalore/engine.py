"""RASALoRE's second stage as an engine: detect with a model package, train one, calibrate it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engines import device as devices
from engines import model_package, setting_values
from engines.calibration import Calibration, slice_heights
from engines.contract import Report, silent
from engines.errors import BadInput, BadModel
from engines.files import load_volume
from engines.healthy import HealthyScores
from engines.model_card import ModelCard, TrainingData
from engines.preparation import SliceStack
from engines.pseudo_masks import PseudoStore
from engines.rasalore import CARD, packaged
from engines.rasalore.folded import FoldedRasaLore
from engines.rasalore.inference import (
    Predicted,
    along_the_brain,
    gated,
    predict,
    shown_mask,
    slice_scores,
    study_score,
    top_mean,
)
from engines.rasalore.pseudo_targets import Prepared, prepare, roles, small, training_sets
from engines.rasalore.settings import Settings
from engines.rasalore.slice_probability import SliceProbability, fitted, new_model, slice_features
from engines.rasalore.training import Trainer, new_network
from engines.result import AnomalyResult, Provenance
from engines.samples import Cohort
from engines.volume import Volume

NOT_STORED = {
    "pseudo_masks": "",
    "start": "",
    "encoder_weights": "",
}  # paths of the machine that trained say nothing to others


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A volume's prepared slices and what the network says of them; scores, top and shown: (n,)."""

    stack: SliceStack
    predicted: Predicted
    scores: NDArray[np.float32]
    top: NDArray[np.float32]
    shown: NDArray[np.float32]

    @property
    def maps(self) -> NDArray[np.float32]:
        """Probabilities (n, 2S, 2S) inside the brain, faded in slices that are held for healthy."""
        return np.where(self.stack.foreground, gated(self.predicted.probability, self.shown), np.float32(0))


class RasaLoreEngine:
    """Outlines lesions after learning from slice labels alone; the heatmap is the probability of a lesion."""

    card = CARD

    def __init__(self, model: Path, device: str = "auto") -> None:
        loaded = model_package.load(model, CARD.key)
        self.model_card = loaded.card
        self.settings = _settings(loaded.card)
        self.device = devices.choose(device)
        self.calibration = Calibration.from_arrays(loaded.calibration)
        network, self._slices = packaged.restored(self.settings, loaded.weights, loaded.card.name)
        self._network = FoldedRasaLore(network).to(self.device.torch)

    def detect(self, volume: Volume, report: Report = silent) -> AnomalyResult:
        """Heatmap (probability of a lesion), slice scores (inference.slice_scores) and study score.

        Extras: the mask at the fixed threshold ("pseudo_mask"), the candidate points' activations, and the two factors
        of the slice scores.
        """
        started = time.monotonic()
        seen = self.look(volume, report)
        stack, predicted = seen.stack, seen.predicted
        heights = slice_heights(stack.region, volume.affine, volume.slice_axis)
        scores = stack.per_slice(seen.scores)
        provenance = Provenance(
            engine=CARD.key,
            model=f"{self.model_card.name} {self.model_card.version}",
            model_digest=self.model_card.digest,
            settings=dataclasses.asdict(self.settings),
            device=predicted.device,
            precision=self.device.precision if predicted.device == self.device.name else "fp32",
            seconds=time.monotonic() - started,
            volume_uid=volume.uid,
            preparation=stack.steps,
            warnings=(
                *self.calibration.warnings,
                *predicted.warnings,
                *self.model_card.modality_warning(volume.modality),
            ),
            versions={"torch": str(torch.__version__), "numpy": np.__version__},
        )
        masks = shown_mask(seen.maps, stack.foreground, self.settings)
        return self.calibration.result(
            volume,
            stack.to_volume(seen.maps),
            scored_region(stack),
            scores,
            study_score(scores, self.calibration.slices.standardised(scores, heights)),
            provenance,
            {
                "pseudo_mask": (stack.to_volume(masks.astype(np.float32)) > 0.5).astype(np.float32),
                "point_activations": stack.to_volume(predicted.points),
                "top_probability": stack.per_slice(seen.top),
                "slice_probability": stack.per_slice(seen.shown),
            },
            heights=heights,
        )

    def look(self, volume: Volume, report: Report = silent) -> Seen:
        """Prepare a volume and run the network over its slices."""
        stack = prepare(volume, self.settings, report)
        predicted = predict(self._network, small(stack.pictures), self.settings, self.device, report)
        shown = np.ones(len(stack.indices), np.float32)
        if self.settings.slice_factor == "head":
            shown = predicted.slice_probability
        elif self._slices is not None:
            features = slice_features(self._slices, stack.pictures, stack.foreground, self.device, report)
            self._slices.cpu()
            shown = self._slices(features).sigmoid().numpy()
        if self.settings.slice_factor != "none":
            shown = along_the_brain(shown, stack.heights, self.settings.smooth_slices)
        top = top_mean(predicted.probability, stack.foreground, self.settings.top_share)
        return Seen(stack, predicted, slice_scores(top, shown), top, shown)

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
        """Train on pseudo-masks of labelled slices and on lesion-free ones, calibrate, write the package to out.

        Checkpoints lie in the folder `out` + ".training", so that `resume` goes on after a kill; it is kept.
        """
        settings = settings or Settings()
        chosen = devices.choose(device)
        parent = model_package.load(Path(settings.start), CARD.key) if settings.start else None
        sets = training_sets(cohort, settings, report)
        slices = _taught(sets.volumes, settings, chosen, report)
        start = packaged.restored(_settings(parent.card), parent.weights, parent.card.name)[0] if parent else None
        trainer = Trainer(settings, sets.train, sets.held_out, chosen.torch, start.state_dict() if start else None)
        state = trainer.run(out.with_name(out.name + ".training"), resume=resume, report=report)
        best = new_network(settings)
        best.load_state_dict(trainer.best)
        card = _card(cohort, settings, state.seconds, parent.card if parent else None)
        nobody = HealthyScores()
        nobody.add("none", np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.array([0.0, 1.0]))
        model_package.write(out, card, packaged.gathered(best, slices), nobody.build().to_arrays(), half=True)
        cls.calibrate(out, cohort, device=device, report=report)
        return out

    @classmethod
    def calibrate(cls, model: Path, cohort: Cohort, *, device: str = "auto", report: Report = silent) -> None:
        """Measure heatmap and scores on the lesion-free slices of the subjects kept apart; store their percentiles."""
        engine = cls(model, device)
        _, samples = roles(cohort, engine.settings)
        seen = []
        for done, sample in enumerate(samples):
            report(done, len(samples), f"calibrating on {sample.subject}")
            volume = load_volume(sample)
            found = engine.look(volume)
            healthy = (
                None
                if sample.label == "normal" or found.stack.axis != 2
                else {k for k, letter in enumerate(sample.slice_labels) if letter == "0"}
            )
            kept = found.stack.only(healthy)
            if len(kept.indices):
                seen.append((sample.subject, healthy is None, volume, found, kept))
        # Twice, since a study's score is made of slice scores that are standardised by the first pass.
        calibration = _measured(seen, _measured(seen, None))
        model_package.replace_calibration(model, calibration.to_arrays())
        report(len(samples), len(samples), "calibrated")


LIMITS = (
    "Learned from slice labels, no lesion was outlined for it: outlines follow brightness, so that faint, dark or "
    "cystic parts and lesions unlike diffuse gliomas are missed. Lesion-free slices come from patients. "
    "Other scanners and contrasts than in training change the scores. Compare scores within one model only."
)


def _taught(
    volumes: Sequence[Prepared], settings: Settings, device: devices.Device, report: Report
) -> SliceProbability | None:
    """The slice classifier of these volumes, where the settings ask for one."""
    if settings.slice_factor != "encoder":
        return None
    model = new_model(settings.encoder_weights)
    features = []
    for done, one in enumerate(volumes):
        report(done, len(volumes), f"looking at whole slices of {one.sample.subject}")
        features.append(slice_features(model, one.pictures, one.foreground, device))
    return fitted(features, [one.labels for one in volumes], model)


def scored_region(stack: SliceStack) -> NDArray[np.bool_]:
    """The foreground of the slices that were looked at, on the volume's grid."""
    looked_at = np.zeros(stack.slices, bool)
    looked_at[stack.indices] = True
    shape = [1, 1, 1]
    shape[stack.axis] = stack.slices
    scored: NDArray[np.bool_] = stack.region & looked_at.reshape(shape)
    return scored


def _card(cohort: Cohort, settings: Settings, seconds: float, parent: ModelCard | None) -> ModelCard:
    train = cohort.select(split="train")
    modalities = {sample.modality for sample in train.samples}
    note = "Slice labels only."
    if settings.pseudo_masks:
        index = PseudoStore.open(Path(settings.pseudo_masks)).index
        note += f" Pseudo-masks: {index.model} ({index.engine}, digest {index.model_digest[:12]})."
    return ModelCard(
        engine=CARD.key,
        name=f"RASALoRE {' '.join(sorted(modalities))}".strip(),
        parent=parent.digest if parent else "",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        modality=modalities.pop() if len(modalities) == 1 else "",
        settings={**dataclasses.asdict(settings), **NOT_STORED},
        preparation={"normalisation": "tissue", "size": 2 * settings.size, "margin": settings.margin},
        training_data=(
            TrainingData(cohort=cohort.name, digest=cohort.digest, subjects=len(set(train.subjects)), note=note),
        ),
        limits=LIMITS,
        seconds=seconds + (parent.seconds if parent else 0.0),
    )


def _settings(card: ModelCard) -> Settings:
    try:
        settings: Settings = setting_values.restore(Settings, card.settings)
    except (BadInput, TypeError) as error:
        raise BadModel(f"The settings of '{card.name}' are not RASALoRE's.", "Train or add the model again.") from error
    return settings


def _measured(seen: list[tuple[str, bool, Volume, Seen, SliceStack]], first: Calibration | None) -> Calibration:
    """The calibration of the healthy slices of some volumes."""
    healthy = HealthyScores()
    for subject, whole, volume, found, kept in seen:
        region = scored_region(kept)
        heights = slice_heights(kept.region, volume.affine, volume.slice_axis)
        scores = found.stack.per_slice(found.scores)
        known = first.slices.standardised(scores, heights) if first else scores
        score = study_score(scores, known) if whole else float("nan")
        own = np.full(len(scores), np.nan, np.float32)
        own[kept.indices] = scores[kept.indices]
        healthy.add(subject, found.stack.to_volume(found.maps)[region], own, heights, score)
    return healthy.build()
