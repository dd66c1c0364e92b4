"""PatchCore as an engine: detect with a model package, make one, calibrate it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from engines import device as devices
from engines import model_package
from engines.blocks import network_weights
from engines.blocks.feature_store import FeatureStore, stored_features
from engines.blocks.finding import Run, finding, no_calibration
from engines.blocks.healthy_samples import healthy_samples
from engines.blocks.patch_features import feature_size
from engines.blocks.place_engine import Places, Scored, healthy_arrays, misfit, opened, stored_places
from engines.blocks.place_memory import distances, remembered
from engines.blocks.place_scores import PLACE, Heat, heat_of, relative
from engines.blocks.slab_features import View, encode, look, portion
from engines.blocks.slice_encoder import SliceEncoder, chosen_encoder
from engines.contract import Report, silent
from engines.errors import BadCohort
from engines.new_model import fresh_card
from engines.patchcore import CARD
from engines.patchcore.settings import Settings
from engines.result import AnomalyResult
from engines.samples import Cohort
from engines.volume import Volume

LIMITS = (
    "A plain baseline. Places of about 9 mm: small lesions vanish. Whatever is unlike the healthy cohort raises the "
    "score: other scanners and contrasts, age, surgery. Compare scores within one model only."
)


class PatchCore:
    """How far the features of each place are from all that is remembered of healthy volumes."""

    card = CARD

    def __init__(self, model: Path, device: str = "auto") -> None:
        found = opened(model, CARD.key, Settings, device)
        self.model_card, self.device, self.calibration = found.card, found.device, found.calibration
        self.settings: Settings = found.settings
        if "memory" not in found.weights:
            raise misfit(found.card)
        self._memory = torch.from_numpy(found.weights["memory"])
        self._places: Places = stored_places(found.arrays, (PLACE,))
        self._view = View.of(self.settings)
        self._encoder = SliceEncoder(self.settings.backbone)
        network_weights.restore({"encoder": self._encoder}, found.weights, found.card.name)

    def detect(self, volume: Volume, report: Report = silent) -> AnomalyResult:
        """Heatmap of distances (in healthy deviations with by_place), slice scores and study score."""
        started = time.monotonic()
        report(0, 100, "preparing slices")
        scored = self._score(volume, report)
        assert scored.slabs is not None
        slabs = scored.slabs
        run = Run(self.model_card, self.settings, self.device, slabs.device, slabs.warnings, started)
        return finding(volume, scored.seen, self._heat(scored, self._places), self.calibration, run, {})

    def _score(self, volume: Volume, report: Report) -> Scored:
        seen = look(volume, self._view, portion(report, 0, 5))
        slabs = encode(self._encoder, seen.stack, self._view, self.device, portion(report, 5, 70))
        foreground = self.settings.foreground
        apart = distances(self._memory, slabs, foreground, self.device, portion(report, 70, 100))
        return Scored(seen, slabs.without_features(), {PLACE: apart})

    def _heat(self, scored: Scored, places: Places) -> Heat:
        settings, apart = self.settings, scored.raw[PLACE]
        if settings.by_place and scored.slabs is not None:
            apart = places[PLACE].standardised(scored.slabs, apart)
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
        encoder, digest = chosen_encoder(settings.backbone, settings.weights, settings.seed)
        feature_size(encoder.channels[1:3], settings.features)
        folder = out.with_name(out.name + ".training")
        versions = ("plain", "changed") if settings.changed else ("plain",)
        stores = stored_features(
            cohort, samples, versions, encoder, View.of(settings), folder / "features", devices.choose(device), report
        )
        memory = remembered(
            sum(stores.values(), start=FeatureStore((), ())),
            settings.memory,
            settings.seed,
            report,
            candidates=settings.candidates,
            projection=settings.projection,
        )
        card = fresh_card(
            CARD,
            cohort,
            samples,
            settings,
            preparation={"encoder_sha256": digest},
            limits=LIMITS,
            seconds=time.monotonic() - started,
        )
        weights = {**network_weights.gathered({"encoder": encoder}), "memory": memory}
        model_package.write(out, card, weights, no_calibration(PLACE), half=True)
        cls.calibrate(out, cohort, device=device, report=report)
        return out

    @classmethod
    def calibrate(cls, model: Path, cohort: Cohort, *, device: str = "auto", report: Report = silent) -> None:
        """Measure the usual distance of each place, then the percentiles, on held-out normal subjects."""
        engine = cls(model, device)
        _, samples = healthy_samples(cohort, engine.settings.held_out, engine.settings.seed)
        model_package.replace_calibration(model, healthy_arrays(samples, engine._score, engine._heat, report))
