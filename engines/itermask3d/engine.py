"""IterMask3D as an engine: detect with a model package, train one, calibrate it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engines import device as devices
from engines import model_package
from engines.calibration import Calibration, slice_heights
from engines.contract import Report, silent
from engines.errors import BadInput, BadModel
from engines.files import load_volume
from engines.healthy import HealthyScores
from engines.itermask3d import CARD
from engines.itermask3d.fast import FastUNet3d, brain_box, quickest
from engines.itermask3d.healthy_error import HealthyError
from engines.itermask3d.masking import high_frequency_image
from engines.itermask3d.network import UNet3d, channels_last
from engines.itermask3d.preparation import Grid, normalised, prepare
from engines.itermask3d.scoring import heatmap, iteration_masks, slice_scores, study_score
from engines.itermask3d.settings import Settings
from engines.itermask3d.shrinking import Scene, Shrunk, errors, schedule, shrink, threshold_curves
from engines.itermask3d.threshold import STEPS, Decision, Floats, choose_threshold
from engines.itermask3d.training import Trainer, healthy_volumes
from engines.model_card import ModelCard, TrainingData
from engines.result import AnomalyResult, Provenance
from engines.samples import Cohort
from engines.setting_values import restore
from engines.volume import Volume

CURVE, MASKS, FILLED = "threshold curve", "iteration masks", "restored"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One volume on the model's grid with its curve, threshold and shrinking masks, and where it ran."""

    grid: Grid
    curve: Floats
    decision: Decision
    shrunk: Shrunk
    device: str
    warnings: tuple[str, ...]


class IterMask3d:
    """Fills the brain under a shrinking mask; the heatmap is the error of the last filling over its threshold."""

    card = CARD

    def __init__(self, model: Path, device: str = "auto") -> None:
        loaded = model_package.load(model, CARD.key)
        self.model_card = loaded.card
        self.settings = _settings(loaded.card)
        self.device = devices.choose(device)
        self.calibration = Calibration.from_arrays(loaded.calibration)
        self._healthy = HealthyError.from_arrays(loaded.calibration, self.settings.size)
        network = UNet3d(self.settings.width)
        try:
            network.load_state_dict({key: torch.from_numpy(value) for key, value in loaded.weights.items()})
        except (RuntimeError, ValueError) as error:
            raise BadModel(
                f"The weights of '{loaded.card.name}' do not fit its settings.", "Train or add the model again."
            ) from error
        form = quickest(self.settings.width, self.device.name, self.device.precision)
        self._network = channels_last(FastUNet3d(network.eval(), form))

    def detect(self, volume: Volume, report: Report = silent) -> AnomalyResult:
        """Heatmap (1 = the threshold), slice scores, study score; extras CURVE, MASKS (bit n = mask n) and FILLED."""
        started = time.monotonic()
        return self._result(volume, self.find(volume, report), started)

    def rethreshold(
        self, volume: Volume, curve: np.ndarray[Any, Any], gamma: float, report: Report = silent
    ) -> AnomalyResult:
        """The result for another slope gamma from the CURVE of a former result: phase B only, a tenth of the work."""
        if curve.shape != (STEPS,) or not np.isfinite(curve).all():
            raise BadInput(f"A threshold curve has {STEPS} values.", "Take it from a result of this engine.")
        started = time.monotonic()
        settings = dataclasses.replace(self.settings, gamma=gamma, start="brain")
        return self._result(volume, self.find(volume, report, settings, np.asarray(curve, np.float64)), started)

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
        found, decision, shrunk = ran.outputs[0]
        return Found(grid, found, decision, shrunk, ran.device, ran.warnings)

    @torch.no_grad()
    def _find(
        self, grid: Grid, settings: Settings, curve: Floats | None, where: str, report: Report
    ) -> tuple[Floats, Decision, Shrunk]:
        scene = self._scene(grid, settings, where)
        noise, fill = _noise(scene.volumes, settings.seed), self._fill(scene.brains[0, 0], where)
        before = 0
        seen: list[Tensor] = []
        if curve is None:
            steps = schedule(settings)
            inner = _part(report, 0, len(steps) + settings.max_iterations)
            keep = settings.start == "threshold"
            curves, seen = threshold_curves(fill, scene, noise, steps=steps, keep=keep, report=inner)
            curve, before = curves[0], len(steps)
        decision = choose_threshold(curve, settings.gamma, settings.y_limit)
        start = scene.brains
        if settings.start == "threshold":
            start = seen[(decision.step - 1) * len(seen) // STEPS] > decision.threshold
        inner = _part(report, before, before + settings.max_iterations)
        [shrunk] = shrink(fill, scene, [decision.threshold], start, noise, settings, inner)
        return curve, decision, shrunk

    def _scene(self, grid: Grid, settings: Settings, where: str) -> Scene:
        head, brain = torch.from_numpy(grid.head).to(where), torch.from_numpy(grid.brain).to(where)
        volume = normalised(head, brain)[None, None]
        weights = self._healthy.weights(brain) if settings.relative else brain.to(volume.dtype)
        return Scene(volume, high_frequency_image(volume, settings.radius), brain[None, None], weights[None, None])

    @torch.no_grad()
    def first_error(self, grid: Grid) -> Tensor:
        """Squared error of the very first pass, the whole brain masked, without regard to the place: (i, j, k)."""
        scene = self._scene(grid, dataclasses.replace(self.settings, relative=False), self.device.name)
        noise = _noise(scene.volumes, self.settings.seed)
        error, _ = errors(self._fill(scene.brains[0, 0], self.device.name), scene, scene.brains, noise(0))
        return error[0, 0]

    def _fill(self, brain: Tensor, where: str) -> Callable[[Tensor], Tensor]:
        """The network on the brain's box, in the device's precision."""
        network, box = self._network.to(where), brain_box(brain)
        half = where == self.device.name and self.device.precision == "bf16"

        def fill(shown: Tensor) -> Tensor:
            with torch.autocast(where, torch.bfloat16, enabled=half):
                filled: Tensor = network(shown.to(memory_format=torch.channels_last_3d), box)
            return filled

        return fill

    def _result(self, volume: Volume, found: Found, started: float) -> AnomalyResult:
        grid, shrunk = found.grid, found.shrunk
        heat = heatmap(grid, shrunk, found.decision.threshold, self.settings)
        provenance = Provenance(
            engine=CARD.key,
            model=f"{self.model_card.name} {self.model_card.version}",
            model_digest=self.model_card.digest,
            settings=dataclasses.asdict(self.settings),
            device=found.device,
            precision=self.device.precision if found.device == self.device.name else "fp32",
            seconds=time.monotonic() - started,
            volume_uid=volume.uid,
            preparation=(*grid.steps, _said(found.decision), f"{shrunk.passes} iterations", self._network.form),
            warnings=(*self.calibration.warnings, *found.warnings, *_warnings(self.model_card, volume, found.decision)),
            versions={"torch": str(torch.__version__), "numpy": np.__version__},
        )
        extras = {
            CURVE: found.curve.astype(np.float32),
            MASKS: iteration_masks(grid, shrunk.masks),
            FILLED: np.where(grid.region, grid.to_volume(shrunk.filled.float().cpu().numpy()), 0).astype(np.float32),
        }
        scores = slice_scores(heat, grid.region, volume.slice_axis)
        score = study_score(grid, shrunk, self.settings)
        return self.calibration.result(volume, heat, grid.region, scores, score, provenance, extras)

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
        healthy, held_out = (healthy_volumes(cohort, split, settings, report) for split in ("train", "val"))
        trainer = Trainer(settings, healthy, held_out, chosen.torch)
        state = trainer.run(out.with_name(out.name + ".training"), resume=resume, report=report)
        network = state.averaged.get("network", trainer.network)
        train = cohort.select(split="train", label="normal")
        modalities = {sample.modality for sample in train.samples}
        card = ModelCard(
            engine=CARD.key,
            name=f"IterMask3D {' '.join(sorted(modalities))}".strip(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            modality=modalities.pop() if len(modalities) == 1 else "",
            settings=dataclasses.asdict(settings),
            preparation={"size": settings.size, "voxel_mm": settings.voxel_mm, "normalisation": "brain z-score"},
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
        """Measure heatmaps and scores of the healthy val subjects and store their percentiles."""
        engine = cls(model, device)
        samples = cohort.select(split="val", label="normal").samples
        measured = []
        for done, sample in enumerate(samples):
            report(done, 2 * len(samples), f"measuring healthy errors of {sample.subject}")
            grid = prepare(load_volume(sample), engine.settings)
            measured.append((engine.first_error(grid), torch.from_numpy(grid.brain)))
        if measured:
            engine._healthy = HealthyError.measured(measured)
        scores = HealthyScores()
        for done, sample in enumerate(samples, len(samples)):
            report(done, 2 * len(samples), f"calibrating on {sample.subject}")
            volume = load_volume(sample)
            result = engine.detect(volume)
            heights = slice_heights(result.region, volume.affine, volume.slice_axis)
            values = result.heatmap[result.region]
            scores.add(sample.subject, values, result.slice_scores, heights, result.score)
        model_package.replace_calibration(model, {**scores.build().to_arrays(), **engine._healthy.to_arrays()})
        report(1, 1, "calibrated")


LIMITS = (
    "Adult brains with the contrast and scanner of the training data; another scanner raises every error. Both darker "
    "and brighter tissue is found, but sharp edges of a lesion pass into the high-frequency image. The brain's rim and "
    "the fluid around it are the usual false findings. Compare scores within one model only."
)


def _settings(card: ModelCard) -> Settings:
    try:
        settings: Settings = restore(Settings, card.settings)
    except BadInput as error:
        raise BadModel(
            f"The settings of '{card.name}' are not IterMask3D's.", "Train or add the model again."
        ) from error
    return settings


def _noise(volume: Tensor, seed: int) -> Callable[[int], Tensor]:
    """Fresh normal noise for each pass, the same again for the same pass: phase B may be run without phase A."""
    random = torch.Generator(volume.device)

    def noise(number: int) -> Tensor:
        random.manual_seed(1000 * seed + number)
        return torch.randn(volume.shape, generator=random, device=volume.device, dtype=volume.dtype)

    return noise


def _part(report: Report, before: int, total: int) -> Report:
    return lambda done, _, text: report(before + done, total, text)


def _said(decision: Decision) -> str:
    source = "tangent fit" if decision.fitted else "smoothed differences"
    return f"threshold {decision.threshold:.4g} at percentile {decision.step} by {source}"


def _warnings(card: ModelCard, volume: Volume, decision: Decision) -> tuple[str, ...]:
    found = [*card.modality_warning(volume.modality)]
    if not decision.crossed:
        found.append("The error's slope gave no threshold for this volume: gamma is too small or too large for it.")
    return tuple(found)
