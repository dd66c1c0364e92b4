"""SimpleSliceNet as an engine: detect with a model package, train one, calibrate it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from engines import device as devices
from engines import model_package, setting_values
from engines.blocks import network_weights
from engines.blocks.finding import Run, finding, no_calibration
from engines.blocks.healthy_samples import healthy_samples
from engines.blocks.place_scores import Heat, PlaceScale, calibrated, heat_of, relative
from engines.blocks.slab_features import Seen, Slabs, View, encode, look, portion
from engines.blocks.slice_encoder import TO_STRIDE_16, TO_STRIDE_32, SliceEncoder
from engines.calibration import Calibration
from engines.contract import Report, silent
from engines.errors import BadInput, BadModel
from engines.files import load_volume
from engines.model_card import ModelCard, TrainingData
from engines.result import AnomalyResult
from engines.samples import Cohort
from engines.simpleslicenet import CARD
from engines.simpleslicenet.contrast import ContrastDecoder
from engines.simpleslicenet.fitting import fit_networks
from engines.simpleslicenet.inference import contrast_heat, log_likelihood, published_heat
from engines.simpleslicenet.settings import Settings
from engines.simpleslicenet.training import new_flow
from engines.volume import Volume

LIMITS = (
    "Places of about 9 mm, slabs of about 6 mm: small lesions vanish. Whatever is unlike the healthy cohort raises the "
    "score: other scanners and contrasts, age, surgery. Compare scores within one model only."
)


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A volume with the log-likelihood of its places (None where stage 0 alone is asked) and its contrast map."""

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
        self.device = devices.choose(device)
        self.calibration = Calibration.from_arrays(loaded.calibration)
        self._places = PlaceScale.from_arrays(loaded.calibration)
        try:
            self.settings: Settings = setting_values.restore(Settings, loaded.card.settings)
            width = len(loaded.weights["flow.mean"])
        except (BadInput, KeyError) as error:
            raise BadModel(
                f"'{loaded.card.name}' is not a model of SimpleSliceNet.", "Train or add it again."
            ) from error
        settings = self.settings
        self._view = View.of(settings)
        self._encoder = SliceEncoder(settings.backbone, TO_STRIDE_32 if settings.contrast_iterations else TO_STRIDE_16)
        self._flow = new_flow(settings, width)
        self._decoder = ContrastDecoder(settings.backbone) if settings.contrast_iterations else None
        networks = {"encoder": self._encoder, "flow": self._flow, "decoder": self._decoder}
        present = {name: network for name, network in networks.items() if network is not None}
        network_weights.restore(present, loaded.weights, loaded.card.name)

    def detect(self, volume: Volume, report: Report = silent) -> AnomalyResult:
        """Heatmap (healthy standard deviations, or a published map), slice scores and study score."""
        started = time.monotonic()
        report(0, 100, "preparing slices")
        scored = self._score(volume, report)
        extras = {}
        if scored.likely is not None:
            extras["log_likelihood"] = heat_of(scored.seen, scored.likely, self._view, 0.0, 1.0).maps
        if scored.contrast is not None:
            extras["contrast"] = scored.contrast.maps
        slabs = scored.slabs
        run = Run(
            self.model_card, self.settings, self.device, slabs.device if slabs else self.device.name,
            slabs.warnings if slabs else (), started,
        )  # fmt: skip
        return finding(volume, scored.seen, self._heat(scored), self.calibration, run, extras)

    def _score(self, volume: Volume, report: Report) -> Scored:
        seen = look(volume, self._view, portion(report, 0, 5))
        slabs = likely = contrast = None
        start, end = 5, 100
        if self.settings.heatmap == "likelihood":
            end = 60 if self._decoder else 100
            slabs = encode(self._encoder, seen.stack, self._view, self.device, portion(report, start, end - 25))
            likely = log_likelihood(self._flow, self.settings, slabs, self.device, portion(report, end - 25, end))
            start = end
        if self._decoder is not None:
            contrast = contrast_heat(self._encoder, self._decoder, seen, self.device, portion(report, start, 100))
        return Scored(seen, slabs and slabs.without_features(), likely, contrast)

    def _heat(self, scored: Scored) -> Heat:
        if scored.slabs is None or scored.likely is None:
            assert scored.contrast is not None
            return scored.contrast
        if self.settings.score != "calibrated":
            return published_heat(scored.seen, scored.likely, self.settings)
        standardised = self._places.standardised(scored.slabs, -scored.likely)
        if self.settings.own_median:
            standardised = relative(scored.slabs, standardised)
        return heat_of(scored.seen, standardised, self._view, self.settings.smooth_px, self.settings.slice_share)

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
            settings=asdict(settings),
            preparation={"encoder_sha256": fitted.encoder_digest, "noise_sigma": fitted.noise_sigma},
            training_data=(TrainingData(cohort=cohort.name, digest=cohort.digest, subjects=len(set(train.subjects))),),
            limits=LIMITS,
            seconds=fitted.seconds,
        )
        model_package.write(out, card, fitted.weights, no_calibration(), half=True)
        cls.calibrate(out, cohort, device=device, report=report)
        return out

    @classmethod
    def calibrate(cls, model: Path, cohort: Cohort, *, device: str = "auto", report: Report = silent) -> None:
        """Measure the usual score of each place, then the percentiles, on held-out normal subjects."""
        engine = cls(model, device)
        _, samples = healthy_samples(cohort, engine.settings.held_out, engine.settings.seed)
        seen: list[tuple[str, Scored]] = []
        for done, sample in enumerate(samples):
            report(done, len(samples), f"calibrating on {sample.subject}")
            seen.append((sample.subject, engine._score(load_volume(sample), silent)))
        pairs = [(one.slabs, -one.likely) for _, one in seen if one.slabs is not None and one.likely is not None]
        if pairs:
            engine._places = PlaceScale.measured(pairs)
        calibration = calibrated([(subject, one.seen) for subject, one in seen], [engine._heat(one) for _, one in seen])
        model_package.replace_calibration(model, {**calibration.to_arrays(), **engine._places.to_arrays()})
        report(len(samples), len(samples), "calibrated")
