"""SimpleSliceNet as an engine: detect with a model package, train one, calibrate it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engines import device as devices
from engines import model_package, setting_values
from engines.blocks.healthy_samples import healthy_samples
from engines.blocks.place_scores import Heat, PlaceScale, calibrated, heat_of, scored_region, study_score
from engines.blocks.slab_features import Seen, Slabs, encode, look, portion
from engines.blocks.slice_encoder import TO_STRIDE_16, TO_STRIDE_32, SliceEncoder
from engines.calibration import Calibration, slice_heights
from engines.contract import Report, silent
from engines.errors import BadCohort, BadInput, BadModel
from engines.files import load_volume
from engines.healthy import HealthyScores
from engines.model_card import ModelCard, TrainingData
from engines.result import AnomalyResult, Provenance
from engines.samples import Cohort
from engines.simpleslicenet import CARD
from engines.simpleslicenet.contrast import ContrastDecoder
from engines.simpleslicenet.fitting import fit_networks
from engines.simpleslicenet.inference import contrast_heat, log_likelihood, published_heat, view_of
from engines.simpleslicenet.settings import Settings
from engines.simpleslicenet.training import new_flow
from engines.volume import Volume

LIMITS = (
    "Places of about 9 mm, slabs of about 6 mm: small lesions vanish. Whatever is unlike the healthy cohort raises the "
    "score: other scanners and contrasts, age, surgery. Compare scores within one model only."
)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A volume with the log-likelihood of its places, or None where stage 0 alone is asked, and its contrast map."""

    seen: Seen
    slabs: Slabs | None
    likely: Tensor | None
    contrast: Heat | None


class SimpleSliceNet:
    """How unlikely each place of a brain is, given its features and where it lies."""

    card = CARD

    def __init__(self, model: Path, device: str = "auto") -> None:
        loaded = model_package.load(model, CARD.key)
        self.model_card = loaded.card
        self.settings = _settings(loaded.card)
        self.device = devices.choose(device)
        self.calibration = Calibration.from_arrays(loaded.calibration)
        self._places = PlaceScale.from_arrays(loaded.calibration)
        self._view = view_of(self.settings)
        self._encoder = SliceEncoder(
            self.settings.backbone, TO_STRIDE_32 if self.settings.contrast_iterations else TO_STRIDE_16
        )
        try:
            self._flow = new_flow(self.settings, len(loaded.weights["flow.mean"]))
            _load(self._encoder, loaded.weights, "encoder.")
            _load(self._flow, loaded.weights, "flow.")
            self._decoder = None
            if self.settings.contrast_iterations:
                self._decoder = ContrastDecoder(self.settings.backbone)
                _load(self._decoder, loaded.weights, "decoder.")
        except (RuntimeError, KeyError) as error:
            raise BadModel(
                f"The weights of '{loaded.card.name}' do not fit its settings.", "Train or add the model again."
            ) from error

    def detect(self, volume: Volume, report: Report = silent) -> AnomalyResult:
        """Heatmap (healthy standard deviations, or a published map), slice scores and study score."""
        started = time.monotonic()
        report(0, 100, "preparing slices")
        scored = self._score(volume, report)
        seen, heat = scored.seen, self._heat(scored)
        stack, coarse = seen.stack, seen.coarse
        region = coarse.region(scored_region(seen))
        scores = stack.per_slice(heat.slice_scores)
        small = coarse.volume
        heights = slice_heights(stack.region, small.affine, small.slice_axis)
        extras = {}
        if scored.likely is not None:
            raw = heat_of(seen, scored.likely, self._view, 0.0)
            extras["log_likelihood"] = np.where(region, coarse.to_native(stack.to_volume(raw.maps)), 0)
        if scored.contrast is not None:
            extras["contrast"] = np.where(region, coarse.to_native(stack.to_volume(scored.contrast.maps)), 0)
        where = scored.slabs.device if scored.slabs is not None else self.device.name
        warned = scored.slabs.warnings if scored.slabs is not None else ()
        provenance = Provenance(
            engine=CARD.key,
            model=f"{self.model_card.name} {self.model_card.version}",
            model_digest=self.model_card.digest,
            settings=dataclasses.asdict(self.settings),
            device=where,
            precision=self.device.precision if where == self.device.name else "fp32",
            seconds=time.monotonic() - started,
            volume_uid=volume.uid,
            preparation=(f"voxels of {_spacing(small)} mm", *stack.steps),
            warnings=(*self.calibration.warnings, *warned, *self.model_card.modality_warning(volume.modality)),
            versions={"torch": str(torch.__version__), "numpy": np.__version__},
        )
        return self.calibration.result(
            volume,
            coarse.to_native(stack.to_volume(heat.maps)),
            region,
            coarse.per_slice(scores),
            study_score(scores, self.calibration.slices.standardised(scores, heights)),
            provenance,
            extras,
            heights=coarse.per_slice(heights),
        )

    def _score(self, volume: Volume, report: Report) -> Scored:
        seen = look(volume, self._view)
        slabs = likely = contrast = None
        both = self._decoder is not None and self.settings.heatmap == "likelihood"
        if self.settings.heatmap == "likelihood":
            slabs = encode(self._encoder, seen.stack, self._view, self.device, portion(report, 5, 40 if both else 70))
            likely = log_likelihood(
                self._flow, self.settings, slabs, self.device, portion(report, 40 if both else 70, 60 if both else 100)
            )
        if self._decoder is not None:
            part = portion(report, 60 if both else 5, 100)
            contrast = contrast_heat(self._encoder, self._decoder, seen, self.device, part)
        return Scored(seen, slabs, likely, contrast)

    def _heat(self, scored: Scored) -> Heat:
        if self.settings.heatmap == "contrast":
            assert scored.contrast is not None
            return scored.contrast
        assert scored.slabs is not None
        assert scored.likely is not None
        if self.settings.score != "calibrated":
            return published_heat(scored.seen, scored.likely, self.settings)
        standardised = self._places.standardised(scored.slabs, -scored.likely)
        return heat_of(scored.seen, standardised, self._view, self.settings.smooth_px)

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
        """Stage 0 if asked, features, flow, calibration on held-out normal subjects, package to out.

        Features and checkpoints lie in the folder `out` + ".training", so that `resume` goes on; it is kept.
        """
        settings = settings or Settings()
        folder = out.with_name(out.name + ".training")
        fitted = fit_networks(cohort, folder, settings, devices.choose(device), resume=resume, report=report)
        train = cohort.select(split="train", label="normal")
        modalities = {sample.modality for sample in train.samples}
        card = ModelCard(
            engine=CARD.key,
            name=f"SimpleSliceNet {' '.join(sorted(modalities))}".strip(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            modality=modalities.pop() if len(modalities) == 1 else "",
            settings=dataclasses.asdict(settings),
            preparation={"encoder_sha256": fitted.encoder_digest, "noise_sigma": fitted.noise_sigma},
            training_data=(TrainingData(cohort=cohort.name, digest=cohort.digest, subjects=len(set(train.subjects))),),
            limits=LIMITS,
            seconds=fitted.seconds,
        )
        nobody = HealthyScores()
        nobody.add("none", np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.array([0.0, 1.0]))
        unknown = PlaceScale.unknown((1, 1)).to_arrays()
        model_package.write(out, card, fitted.weights, {**nobody.build().to_arrays(), **unknown}, half=True)
        cls.calibrate(out, cohort, device=device, report=report)
        return out

    @classmethod
    def calibrate(cls, model: Path, cohort: Cohort, *, device: str = "auto", report: Report = silent) -> None:
        """Measure the usual score of each place, then the percentiles, on held-out normal subjects."""
        engine = cls(model, device)
        _, samples = healthy_samples(cohort, engine.settings.held_out, engine.settings.seed)
        if not samples:
            raise BadCohort(
                "There is no healthy volume to calibrate on.", "Label some subjects of the split 'val' as normal."
            )
        seen: list[tuple[str, Scored]] = []
        for done, sample in enumerate(samples):
            report(done, len(samples), f"calibrating on {sample.subject}")
            scored = engine._score(load_volume(sample), silent)
            # Only scores are kept: the features of a cohort would not fit into memory.
            slabs = scored.slabs and dataclasses.replace(scored.slabs, features=torch.empty(0))
            seen.append((sample.subject, dataclasses.replace(scored, slabs=slabs)))
        pairs = [(one.slabs, -one.likely) for _, one in seen if one.slabs is not None and one.likely is not None]
        if pairs:
            engine._places = PlaceScale.measured(pairs)
        calibration = calibrated([(subject, one.seen) for subject, one in seen], [engine._heat(one) for _, one in seen])
        model_package.replace_calibration(model, {**calibration.to_arrays(), **engine._places.to_arrays()})
        report(len(samples), len(samples), "calibrated")


def _settings(card: ModelCard) -> Settings:
    try:
        settings: Settings = setting_values.restore(Settings, card.settings)
    except (BadInput, TypeError) as error:
        raise BadModel(
            f"The settings of '{card.name}' are not SimpleSliceNet's.", "Train or add the model again."
        ) from error
    return settings


def _load(network: nn.Module, weights: Mapping[str, Any], prefix: str) -> None:
    state = {
        key.removeprefix(prefix): torch.from_numpy(value) for key, value in weights.items() if key.startswith(prefix)
    }
    counters = {key for key in network.state_dict() if key.endswith("num_batches_tracked")}
    result = network.load_state_dict(state, strict=False)
    if set(result.missing_keys) - counters or result.unexpected_keys:
        raise KeyError(prefix)
    network.eval().requires_grad_(False)


def _spacing(volume: Volume) -> str:
    return " x ".join(f"{mm:.3g}" for mm in volume.spacing_mm)
