"""SimpleSliceNet as an engine: detect with a model package, train one, calibrate it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engines import device as devices
from engines import model_package
from engines.blocks import network_weights
from engines.blocks.finding import Run, finding, no_calibration
from engines.blocks.healthy_samples import healthy_samples
from engines.blocks.mirrored import against_mirror
from engines.blocks.place_engine import Places, Scored, healthy_arrays, misfit, opened, stored_places
from engines.blocks.place_memory import distances
from engines.blocks.place_scores import PLACE, Heat, heat_of, relative
from engines.blocks.slab_features import Slabs, View, encode, look, portion
from engines.blocks.slice_encoder import TO_STRIDE_16, TO_STRIDE_32, SliceEncoder
from engines.contract import Report, silent
from engines.new_model import fresh_card
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
DISTANCE = "distance"


class SimpleSliceNet:
    """How unlikely each place of a brain is, given its features and where it lies."""

    card = CARD

    def __init__(self, model: Path, device: str = "auto") -> None:
        found = opened(model, CARD.key, Settings, device)
        self.model_card, self.device, self.calibration = found.card, found.device, found.calibration
        settings: Settings = found.settings
        self.settings = settings
        self._view = View.of(settings)
        self._encoder = SliceEncoder(settings.backbone, TO_STRIDE_32 if settings.contrast_iterations else TO_STRIDE_16)
        try:
            self._flow = new_flow(settings, len(found.weights["flow.mean"]))
            self._memory = torch.from_numpy(found.weights["memory"]) if settings.remembers else None
        except KeyError as error:
            raise misfit(found.card) from error
        self._places: Places = stored_places(found.arrays, (PLACE, DISTANCE) if settings.remembers else (PLACE,))
        self._decoder = ContrastDecoder(settings.backbone) if settings.contrast_iterations else None
        networks = {"encoder": self._encoder, "flow": self._flow, "decoder": self._decoder}
        present = {name: network for name, network in networks.items() if network is not None}
        network_weights.restore(present, found.weights, found.card.name)

    def detect(self, volume: Volume, report: Report = silent) -> AnomalyResult:
        """Heatmap (healthy standard deviations, or a published map), slice scores and study score."""
        started = time.monotonic()
        report(0, 100, "preparing slices")
        scored = self._score(volume, report)
        maps = {name: heat_of(scored.seen, raw, self._view, 0.0, 1.0).maps for name, raw in scored.raw.items()}
        if PLACE in maps:
            maps["log_likelihood"] = -maps.pop(PLACE)
        if scored.contrast is not None:
            maps["contrast"] = scored.contrast.maps
        slabs = scored.slabs
        run = Run(
            self.model_card, self.settings, self.device, slabs.device if slabs else self.device.name,
            slabs.warnings if slabs else (), started,
        )  # fmt: skip
        return finding(volume, scored.seen, self._heat(scored, self._places), self.calibration, run, maps)

    def _score(self, volume: Volume, report: Report) -> Scored:
        seen = look(volume, self._view, portion(report, 0, 5))
        slabs: Slabs | None = None
        raw: dict[str, Tensor] = {}
        contrast, start, end = None, 5, 100
        if self.settings.heatmap == "likelihood":
            end = 60 if self._decoder else 100
            likely = end if self._memory is None else end - 10
            slabs = encode(self._encoder, seen.stack, self._view, self.device, portion(report, start, end - 30))
            rest = portion(report, end - 30, likely)
            raw[PLACE] = -log_likelihood(self._flow, self.settings, slabs, self.device, rest)
            if self._memory is not None:
                rest = portion(report, likely, end)
                raw[DISTANCE] = distances(self._memory, slabs, self.settings.foreground, self.device, rest)
            slabs, start = slabs.without_features(), end
        if self._decoder is not None:
            share, rest = self.settings.slice_share, portion(report, start, 100)
            contrast = contrast_heat(self._encoder, self._decoder, seen, share, self.device, rest)
        return Scored(seen, slabs, raw, contrast)

    def _heat(self, scored: Scored, places: Places) -> Heat:
        settings = self.settings
        if scored.slabs is None:
            assert scored.contrast is not None
            return scored.contrast
        if settings.score != "calibrated":
            return published_heat(scored.seen, -scored.raw[PLACE], settings)
        share = settings.distance_share if DISTANCE in scored.raw else 0.0
        weights = {PLACE: 1 - share, DISTANCE: share}
        parts = []
        for name, raw in scored.raw.items():
            part = places[name].standardised(scored.slabs, raw)
            parts.append(weights[name] * (relative(scored.slabs, part) if settings.own_median else part))
        standing = against_mirror(scored.seen, scored.slabs, torch.stack(parts).sum(0), settings.mirrored)
        return heat_of(scored.seen, standing, self._view, settings.smooth_px, settings.slice_share)

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
        """Stage 0 if asked, features, flow, memory, calibration on held-out normal subjects, package to out.

        Features and checkpoints lie in the folder `out` + ".training", so that `resume` goes on; it is kept.
        """
        settings = settings or Settings()
        folder = out.with_name(out.name + ".training")
        fitted = fit_networks(cohort, folder, settings, devices.choose(device), resume=resume, report=report)
        card = fresh_card(
            CARD,
            cohort,
            fitted.learned,
            settings,
            preparation={"encoder_sha256": fitted.encoder_digest, "noise_sigma": fitted.noise_sigma},
            limits=LIMITS,
            seconds=fitted.seconds,
        )
        names = (PLACE, DISTANCE) if settings.remembers else (PLACE,)
        model_package.write(out, card, fitted.weights, no_calibration(*names), half=True)
        cls.calibrate(out, cohort, device=device, report=report)
        return out

    @classmethod
    def calibrate(cls, model: Path, cohort: Cohort, *, device: str = "auto", report: Report = silent) -> None:
        """Measure the usual score of each place, then the percentiles, on held-out normal subjects."""
        engine = cls(model, device)
        _, samples = healthy_samples(cohort, engine.settings.held_out, engine.settings.seed)
        places = engine._places
        arrays = healthy_arrays(samples, engine._score, engine._heat, report)
        # Without a likelihood nothing is measured by place, but the package keeps what it had.
        kept = {key: value for name, scale in places.items() for key, value in scale.to_arrays(name).items()}
        model_package.replace_calibration(model, {**kept, **arrays})
