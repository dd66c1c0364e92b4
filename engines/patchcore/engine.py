"""PatchCore as an engine: detect with a model package, make one, calibrate it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engines import device as devices
from engines import model_package, setting_values
from engines.blocks import network_weights
from engines.blocks.feature_store import FeatureStore, stored_features
from engines.blocks.finding import Run, finding, no_calibration
from engines.blocks.healthy_samples import healthy_samples
from engines.blocks.patch_features import feature_size
from engines.blocks.place_scores import Heat, PlaceScale, calibrated, heat_of, relative
from engines.blocks.slab_features import Seen, Slabs, View, encode, look, portion
from engines.blocks.slice_encoder import SliceEncoder, load_encoder, random_encoder
from engines.calibration import Calibration
from engines.contract import Report, silent
from engines.errors import BadCohort, BadInput, BadModel
from engines.files import load_volume
from engines.model_card import ModelCard, TrainingData
from engines.patchcore import CARD
from engines.patchcore.memory import coreset, distances
from engines.patchcore.settings import Settings
from engines.result import AnomalyResult
from engines.samples import Cohort
from engines.volume import Volume

LIMITS = (
    "A plain baseline. Places of about 9 mm: small lesions vanish. Whatever is unlike the healthy cohort raises the "
    "score: other scanners and contrasts, age, surgery. Compare scores within one model only."
)


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A volume with the distance of each of its places (m, h, w)."""

    seen: Seen
    slabs: Slabs
    apart: Tensor


class PatchCore:
    """How far the features of each place are from all that is remembered of healthy volumes."""

    card = CARD

    def __init__(self, model: Path, device: str = "auto") -> None:
        loaded = model_package.load(model, CARD.key)
        self.model_card = loaded.card
        self.device = devices.choose(device)
        self.calibration = Calibration.from_arrays(loaded.calibration)
        self._places = PlaceScale.from_arrays(loaded.calibration)
        try:
            self.settings: Settings = setting_values.restore(Settings, loaded.card.settings)
            self._memory = torch.from_numpy(loaded.weights["memory"])
        except (BadInput, KeyError) as error:
            raise BadModel(f"'{loaded.card.name}' is not PatchCore's.", "Make or add it again.") from error
        self._view = View.of(self.settings)
        self._encoder = SliceEncoder(self.settings.backbone)
        network_weights.restore({"encoder": self._encoder}, loaded.weights, loaded.card.name)

    def detect(self, volume: Volume, report: Report = silent) -> AnomalyResult:
        """Heatmap of distances (in healthy deviations with by_place), slice scores and study score."""
        started = time.monotonic()
        report(0, 100, "preparing slices")
        scored = self._score(volume, report)
        slabs = scored.slabs
        run = Run(self.model_card, self.settings, self.device, slabs.device, slabs.warnings, started)
        return finding(volume, scored.seen, self._heat(scored), self.calibration, run, {})

    def _score(self, volume: Volume, report: Report) -> Scored:
        seen = look(volume, self._view, portion(report, 0, 5))
        slabs = encode(self._encoder, seen.stack, self._view, self.device, portion(report, 5, 70))
        foreground = self.settings.foreground
        apart = distances(self._memory, slabs, foreground, self.device, portion(report, 70, 100))
        return Scored(seen, slabs.without_features(), apart)

    def _heat(self, scored: Scored) -> Heat:
        settings, apart = self.settings, scored.apart
        if settings.by_place:
            apart = self._places.standardised(scored.slabs, apart)
            apart = relative(scored.slabs, apart) if settings.own_median else apart
        return heat_of(scored.seen, apart, self._view, settings.smooth_px, settings.slice_share)

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
        """Remember features of normal training subjects, calibrate on held-out ones, write the package to out.

        Features lie in the folder `out` + ".training" and are not computed twice, with `resume` or without.
        """
        settings = settings or Settings()
        started = time.monotonic()
        samples, apart = healthy_samples(cohort, settings.held_out, settings.seed)
        if not samples or not apart:
            raise BadCohort(
                "PatchCore needs at least two normal subjects, one of them held out.",
                "Label some subjects of the splits 'train' and 'val' as normal.",
            )
        if settings.weights == "random":
            encoder, digest = random_encoder(settings.backbone, settings.seed), ""
        else:
            encoder, digest = load_encoder(settings.backbone, settings.weights)
        feature_size(encoder.channels[1:3], settings.features)
        folder = out.with_name(out.name + ".training")
        versions = ("plain", "changed") if settings.changed else ("plain",)
        stores = stored_features(
            cohort, samples, versions, encoder, View.of(settings), folder / "features", devices.choose(device), report
        )
        found = sum(stores.values(), start=FeatureStore((), ()))
        random = torch.Generator().manual_seed(settings.seed)
        candidates, _ = found.draw(min(settings.candidates, len(found)), len(found.features), random)
        memory = candidates[coreset(candidates, settings.memory, settings.projection, random, report)]
        modalities = {sample.modality for sample in samples}
        card = ModelCard(
            engine=CARD.key,
            name=f"PatchCore {' '.join(sorted(modalities))}".strip(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            modality=modalities.pop() if len(modalities) == 1 else "",
            settings=asdict(settings),
            preparation={"encoder_sha256": digest},
            training_data=(
                TrainingData(
                    cohort=cohort.name, digest=cohort.digest, subjects=len({sample.subject for sample in samples})
                ),
            ),
            limits=LIMITS,
            seconds=time.monotonic() - started,
        )
        weights = {**network_weights.gathered({"encoder": encoder}), "memory": memory}
        model_package.write(out, card, weights, no_calibration(), half=True)
        cls.calibrate(out, cohort, device=device, report=report)
        return out

    @classmethod
    def calibrate(cls, model: Path, cohort: Cohort, *, device: str = "auto", report: Report = silent) -> None:
        """Measure the usual distance of each place, then the percentiles, on held-out normal subjects."""
        engine = cls(model, device)
        _, samples = healthy_samples(cohort, engine.settings.held_out, engine.settings.seed)
        seen: list[Scored] = []
        for done, sample in enumerate(samples):
            report(done, len(samples), f"calibrating on {sample.subject}")
            seen.append(engine._score(load_volume(sample), silent))
        if seen:
            engine._places = PlaceScale.measured([(one.slabs, one.apart) for one in seen])
        names = [(sample.subject, one.seen) for sample, one in zip(samples, seen, strict=True)]
        calibration = calibrated(names, [engine._heat(one) for one in seen])
        model_package.replace_calibration(model, {**calibration.to_arrays(), **engine._places.to_arrays()})
        report(len(samples), len(samples), "calibrated")
