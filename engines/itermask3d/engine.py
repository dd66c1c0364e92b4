"""IterMask3D as an engine: detect with a model package, train one, calibrate it."""

from __future__ import annotations

import dataclasses
import time
from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engines import device as devices
from engines import model_package
from engines.calibration import Calibration
from engines.contract import Report, silent
from engines.errors import BadInput, BadModel
from engines.healthy import HealthyScores
from engines.itermask3d import CARD
from engines.itermask3d.calibrating import healthy_scales
from engines.itermask3d.fast import FastUNet3d, brain_box, quickest
from engines.itermask3d.found import Found
from engines.itermask3d.graphed import quicker
from engines.itermask3d.healthy_difference import HealthyDifference, smoothed
from engines.itermask3d.healthy_error import HealthyError
from engines.itermask3d.healthy_signs import HealthySigns
from engines.itermask3d.levelling import levelled
from engines.itermask3d.masking import high_frequency_image, masked_input
from engines.itermask3d.network import UNet3d, channels_last
from engines.itermask3d.preparation import Grid, Maps, normalised, prepare
from engines.itermask3d.scoring import heatmap, iteration_masks, slice_scores, study_score
from engines.itermask3d.settings import Settings
from engines.itermask3d.shrinking import Fill, Noise, Scene, Shrunk, errors, schedule, shrink, threshold_curves
from engines.itermask3d.signs import signs
from engines.itermask3d.threshold import STEPS, Decision, Floats, choose_threshold, is_settled
from engines.itermask3d.training import Trainer, healthy_landmarks, healthy_volumes
from engines.model_card import ModelCard, TrainingData
from engines.result import (
    ITERATION_MASKS,
    ITERATION_SHARES,
    SIGN_NAMES,
    SIGNS,
    THRESHOLD_CURVE,
    THRESHOLD_SLOPES,
    AnomalyResult,
    Provenance,
)
from engines.samples import Cohort
from engines.setting_values import restore
from engines.volume import Volume

FILLED = "restored"
LANDMARKS = "landmarks"  # in a card's preparation


class IterMask3d:
    """Fills the brain under a shrinking mask; the heatmap tells how far the scan lies from what was filled in."""

    card = CARD

    def __init__(self, model: Path, device: str = "auto") -> None:
        loaded = model_package.load(model, CARD.key)
        self.model_card = loaded.card
        self.healthy_signs = HealthySigns.from_arrays(loaded.calibration)
        chosen = _settings(loaded.card)
        self.settings = dataclasses.replace(chosen, gamma=chosen.gamma or self.healthy_signs.gamma)
        self.device = devices.choose(device)
        self.calibration = Calibration.from_arrays(loaded.calibration)
        self.healthy_error = HealthyError.from_arrays(loaded.calibration, self.settings.size)
        self.healthy_difference = HealthyDifference.from_arrays(loaded.calibration)
        network = UNet3d(self.settings.width)
        _restore(network, loaded)
        form = quickest(self.settings.width, self.device.name, self.device.precision)
        self._network = channels_last(FastUNet3d(network.eval(), form))

    def detect(self, volume: Volume, report: Report = silent) -> AnomalyResult:
        """Heatmap (settings.heat says of what), slice and study scores; extras: curve, slopes, masks and FILLED."""
        started = time.monotonic()
        return self.result(volume, self.find(volume, report), started)

    def rethreshold(
        self, volume: Volume, curve: np.ndarray[Any, Any], gamma: float, report: Report = silent
    ) -> AnomalyResult:
        """The result for another slope gamma from the curve of a former result: phase B only, a tenth of the work.

        A curve that ended early, before this gamma's threshold, is made anew.
        """
        known = int(np.isfinite(curve).sum())
        if curve.shape != (STEPS,) or not known or not np.isfinite(curve[:known]).all():
            raise BadInput(f"A threshold curve has {STEPS} values.", "Take it from a result of this engine.")
        if not gamma > 0:
            raise BadInput(f"Gamma must lie above zero: {gamma:g}.")
        started = time.monotonic()
        settings = dataclasses.replace(self.settings, gamma=gamma, start="brain")
        former = np.asarray(curve, np.float64)
        kept = former if is_settled(former, gamma, settings.y_limit, settings.uncrossed) else None
        return self.result(volume, self.find(volume, report, settings, kept), started)

    def find(
        self, volume: Volume, report: Report = silent, settings: Settings | None = None, curve: Floats | None = None
    ) -> Found:
        """Everything about one volume on the model's grid; with a curve phase A is left out."""
        report(0, 1, "preparing the volume")
        return self.search(prepare(volume, self.settings), report, settings, curve)

    def search(
        self, grid: Grid, report: Report = silent, settings: Settings | None = None, curve: Floats | None = None
    ) -> Found:
        """As find, of a volume that lies on the model's grid already."""
        settings = settings or self.settings
        ran = devices.run_chunked(
            lambda _, where: self._find(grid, settings, curve, where, report), [grid], 1, self.device
        )
        report(1, 1, "done")
        found, decision, shrunk, difference, field = ran.outputs[0]
        return Found(settings, grid, found, decision, shrunk, difference, field, ran.device, ran.warnings)

    @torch.no_grad()
    def _find(
        self, grid: Grid, settings: Settings, curve: Floats | None, where: str, report: Report
    ) -> tuple[Floats, Decision, Shrunk, Maps, Maps]:
        scene, field = self._scene(grid, settings, where)
        noise = _noise(scene.volumes, settings.seed)
        # Phase B alone is over before a recording would pay.
        fill = self._passes(scene, where) if curve is None else self._fill(scene.brains[0, 0], where)
        before = 0
        seen: list[Tensor] = []
        if curve is None:
            before = len(schedule(settings))
            inner = _part(report, 0, before + settings.max_iterations)
            curve, seen = self._curve(fill, scene, noise, settings, inner)
        decision = choose_threshold(curve, settings.gamma, settings.y_limit, settings.uncrossed)
        start = scene.brains
        if settings.start == "threshold":
            start = seen[bisect_left(schedule(settings), decision.step)] > decision.threshold
        inner = _part(report, before, before + settings.max_iterations)
        [shrunk] = shrink(fill, scene, [decision.threshold], start, noise, settings, inner)
        final = shrunk.masks[-1][None, None]
        _, filled = errors(fill, scene, final, noise(STEPS + settings.max_iterations))
        difference = (scene.volumes - filled)[0, 0].float().cpu().numpy()
        difference = smoothed(difference, grid.brain, settings.smooth_mm / settings.voxel_mm)
        return curve, decision, shrunk, difference, field.float().cpu().numpy()

    def _curve(
        self, fill: Fill, scene: Scene, noise: Noise, settings: Settings, report: Report
    ) -> tuple[Floats, list[Tensor]]:
        """Phase A of one volume; with the errors of its steps where phase B starts with one of them."""
        keep = settings.start == "threshold"
        curves, seen = threshold_curves(
            fill,
            scene,
            noise,
            steps=schedule(settings),
            keep=keep,
            enough=lambda curve: is_settled(curve, settings.gamma, settings.y_limit, settings.uncrossed),
            report=report,
        )
        return curves[0], seen

    @torch.no_grad()
    def whole_curve(self, grid: Grid) -> Floats:
        """Phase A to its end: tau of a volume on the model's grid, (100,)."""
        where = self.device.name
        scene, _ = self._scene(grid, self.settings, where)
        fill, noise = self._passes(scene, where), _noise(scene.volumes, self.settings.seed)
        curve: Floats = threshold_curves(fill, scene, noise, steps=schedule(self.settings))[0][0]
        return curve

    def _scene(self, grid: Grid, settings: Settings, where: str) -> tuple[Scene, Tensor]:
        """What the passes work on, and the shading (i, j, k) that was taken off."""
        head, brain = torch.from_numpy(grid.head).to(where), torch.from_numpy(grid.brain).to(where)
        fill, nothing = self._fill(brain, where), torch.zeros_like(brain)[None, None]

        def filled(shown: Tensor) -> Tensor:
            one = shown[None, None]
            return fill(masked_input(one, high_frequency_image(one, settings.radius), nothing, one))[0, 0]

        plain = normalised(head, brain, settings.landmarks)
        volume, field = levelled(plain, brain, filled, settings.levelled)
        weights = self.healthy_error.weights(brain) if settings.relative else brain.to(volume.dtype)
        edges = high_frequency_image(volume[None, None], settings.radius)
        return Scene(volume[None, None], edges, brain[None, None], weights[None, None]), field

    @torch.no_grad()
    def first_error(self, grid: Grid) -> Tensor:
        """Squared error of the very first pass, the whole brain masked, without regard to the place: (i, j, k)."""
        scene, _ = self._scene(grid, dataclasses.replace(self.settings, relative=False), self.device.name)
        noise = _noise(scene.volumes, self.settings.seed)
        error, _ = errors(self._fill(scene.brains[0, 0], self.device.name), scene, scene.brains, noise(0))
        return error[0, 0]

    def _passes(self, scene: Scene, where: str) -> Fill:
        """The network for many passes of one volume."""
        fill = self._fill(scene.brains[0, 0], where)
        return quicker(fill, masked_input(scene.volumes, scene.edges, scene.brains, scene.volumes))

    def _fill(self, brain: Tensor, where: str) -> Callable[[Tensor], Tensor]:
        """The network on the brain's box, in the device's precision."""
        network, box = self._network.to(where), brain_box(brain)
        half = where == self.device.name and self.device.precision == "bf16"

        def fill(shown: Tensor) -> Tensor:
            with torch.autocast(where, torch.bfloat16, enabled=half):
                filled: Tensor = network(shown.to(memory_format=torch.channels_last_3d), box)
            return filled

        return fill

    def result(self, volume: Volume, found: Found, started: float) -> AnomalyResult:
        """What was found, on the scan's own grid and among healthy brains; started: of time.monotonic()."""
        settings, grid, shrunk = found.settings, found.grid, found.shrunk
        threshold = found.decision.threshold
        heat = heatmap(grid, shrunk, found.difference, threshold, self.healthy_difference, settings)
        provenance = Provenance(
            engine=CARD.key,
            model=f"{self.model_card.name} {self.model_card.version}",
            model_digest=self.model_card.digest,
            settings=dataclasses.asdict(settings),
            device=found.device,
            precision=self.device.precision if found.device == self.device.name else "fp32",
            seconds=time.monotonic() - started,
            volume_uid=volume.uid,
            preparation=(*grid.steps, *_said(found), f"{shrunk.passes} iterations", self._network.form),
            warnings=(*self.calibration.warnings, *found.warnings, *self._warnings(volume, found)),
            versions={"torch": str(torch.__version__), "numpy": np.__version__},
        )
        away = self.healthy_signs.distances(signs(found))
        extras: dict[str, np.ndarray[Any, Any]] = {
            THRESHOLD_CURVE: found.curve,
            THRESHOLD_SLOPES: found.decision.slopes,
            ITERATION_MASKS: iteration_masks(grid, shrunk.masks),
            ITERATION_SHARES: np.array([float(mask.sum()) for mask in shrunk.masks]) / grid.brain.sum(),
            SIGNS: np.array([away[name] for name in SIGN_NAMES]),
            FILLED: np.where(grid.region, grid.to_volume(shrunk.filled.float().cpu().numpy()), 0).astype(np.float32),
        }
        scores = slice_scores(heat, grid.region, volume.slice_axis, settings.slice_share)
        score = study_score(found, away, settings.score)
        return self.calibration.result(volume, heat, grid.region, scores, score, provenance, extras)

    def _warnings(self, volume: Volume, found: Found) -> tuple[str, ...]:
        told = [*self.model_card.modality_warning(volume.modality)]
        gamma = found.settings.gamma
        if gamma != self.settings.gamma:
            told.append(
                f"Gamma {gamma:.3g} was chosen by hand; the healthy percentiles were measured with "
                f"{self.settings.gamma:.3g}."
            )
        if not found.decision.crossed:
            told.append("The slope of the error's percentiles gave no threshold: gamma is too small or too large here.")
        return tuple(told)

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
        """Train on the normal volumes of the train split, calibrate on those of the val split, write the package.

        Checkpoints lie in the folder `out` + ".training", so that `resume` goes on after a kill; it is kept.
        """
        settings = settings or Settings()
        chosen = devices.choose(device)
        first = model_package.load(Path(settings.from_model), CARD.key) if settings.from_model else None
        healthy, held_out = (healthy_volumes(cohort, split, settings, report) for split in ("train", "val"))
        landmarks = settings.landmarks or (healthy_landmarks(healthy) if settings.matched else ())
        trainer = Trainer(dataclasses.replace(settings, landmarks=landmarks), healthy, held_out, chosen.torch)
        if first is not None:
            for started in (trainer.network, *trainer.state.averaged.values()):
                _restore(started, first)
        state = trainer.run(out.with_name(out.name + ".training"), resume=resume, report=report)
        network = state.averaged.get("network", trainer.network)
        train = cohort.select(split="train", label="normal")
        modalities = {sample.modality for sample in train.samples}
        card = ModelCard(
            engine=CARD.key,
            parent=first.card.digest if first else "",
            name=f"IterMask3D {' '.join(sorted(modalities))}".strip(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            modality=modalities.pop() if len(modalities) == 1 else "",
            settings=dataclasses.asdict(dataclasses.replace(settings, from_model="")),
            preparation={
                "size": settings.size,
                "voxel_mm": settings.voxel_mm,
                "normalisation": "brain z-score" + (", percentiles moved to landmarks" if landmarks else ""),
                LANDMARKS: list(landmarks),
            },
            training_data=(TrainingData(cohort=cohort.name, digest=cohort.digest, subjects=len(set(train.subjects))),),
            limits=LIMITS,
            seconds=state.seconds,
        )
        nobody = HealthyScores()
        nobody.add("none", np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.array([0.0, 1.0]))
        model_package.write(out, card, state.best or network.state_dict(), nobody.build().to_arrays(), half=True)
        cls.calibrate(out, cohort, device=device, report=report)
        return out

    @classmethod
    def calibrate(cls, model: Path, cohort: Cohort, *, device: str = "auto", report: Report = silent) -> None:
        """Measure the healthy val subjects: error by place, gamma, heatmaps and scores; store them in the package."""
        engine = cls(model, device)
        samples = cohort.select(split="val", label="normal").samples
        model_package.replace_calibration(model, healthy_scales(engine, _settings(engine.model_card), samples, report))
        report(1, 1, "calibrated")


LIMITS = (
    "Adult brains with the contrast and scanner of the training data; another scanner raises every error. Both darker "
    "and brighter tissue is found, but sharp edges of a lesion pass into the high-frequency image. The brain's rim and "
    "the fluid around it are the usual false findings. Compare scores within one model only."
)


def _settings(card: ModelCard) -> Settings:
    try:
        # Training measures the landmarks: they are no choice but a fact about the preparation.
        landmarks = card.preparation.get(LANDMARKS) or card.settings.get(LANDMARKS, [])
        settings: Settings = restore(Settings, {**card.settings, LANDMARKS: landmarks})
    except BadInput as error:
        raise BadModel(
            f"The settings of '{card.name}' are not IterMask3D's.", "Train or add the model again."
        ) from error
    return settings


def _restore(network: nn.Module, model: model_package.LoadedModel) -> None:
    try:
        network.load_state_dict({key: torch.from_numpy(value) for key, value in model.weights.items()})
    except (RuntimeError, ValueError) as error:
        raise BadModel(
            f"The weights of '{model.card.name}' do not fit its settings.", "Train or add the model again."
        ) from error


def _noise(volume: Tensor, seed: int) -> Callable[[int], Tensor]:
    """Fresh normal noise for each pass, the same again for the same pass: phase B may be run without phase A."""
    random = torch.Generator(volume.device)

    def noise(number: int) -> Tensor:
        random.manual_seed(1000 * seed + number)
        return torch.randn(volume.shape, generator=random, device=volume.device, dtype=volume.dtype)

    return noise


def _part(report: Report, before: int, total: int) -> Report:
    return lambda done, _, text: report(before + done, total, text)


def _said(found: Found) -> tuple[str, ...]:
    """What was done to the volume and found in it, in words."""
    decision, spread = found.decision, float(found.field[found.grid.brain].std())
    levelled = (f"smooth shading of {spread:.2f} standard deviations taken off",) if found.settings.levelled else ()
    source = "tangent fit" if decision.fitted else "smoothed differences"
    return (*levelled, f"threshold {decision.threshold:.4g} at percentile {decision.step} by {source}")
