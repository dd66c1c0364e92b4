"""DDPT as an engine: detect with a model package, train one, calibrate it."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines import device as devices
from engines import model_package, setting_values
from engines.blocks import network_weights
from engines.blocks.place_scores import study_score
from engines.calibration import Calibration, slice_heights
from engines.contract import Report, silent
from engines.ddpt import CARD
from engines.ddpt.backbones import stored_backbone
from engines.ddpt.fitting import fit
from engines.ddpt.maps import MAPS, blended, look_where, on_pictures, pseudo_masks, smoothed_over_slices
from engines.ddpt.seen_slices import CHUNK, coverage
from engines.ddpt.settings import Settings
from engines.ddpt.slices import labelled, load_prepared, prepared
from engines.ddpt.training import new_prompts
from engines.device import run_chunked
from engines.errors import BadCohort, BadInput, BadModel
from engines.files import load_volume
from engines.healthy import HealthyScores
from engines.preparation import SliceStack
from engines.result import AnomalyResult, Provenance
from engines.samples import Cohort
from engines.volume import Volume


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was found in the slices of one volume.

    probability: float32 (n,), of a lesion. maps: (n, 3, places), raw. blend: float32 (n, S, S), highest of each
    slice 1. device, warnings: where it was computed.
    """

    probability: NDArray[np.float32]
    maps: Tensor
    blend: NDArray[np.float32]
    device: str
    warnings: tuple[str, ...]

    @property
    def heat(self) -> NDArray[np.float32]:
        """The map times the slice's probability: healthy slices stay dark however hard somebody looks."""
        return self.blend * self.probability[:, None, None]


class Ddpt:
    """Whether each slice shows a lesion, and where the network looked when it said so."""

    card = CARD

    def __init__(self, model: Path, device: str = "auto") -> None:
        loaded = model_package.load(model, CARD.key)
        self.model_card = loaded.card
        try:
            self.settings: Settings = setting_values.restore(Settings, loaded.card.settings)
        except (BadInput, TypeError) as error:
            raise BadModel(f"The settings of '{loaded.card.name}' are not DDPT's.", "Train or add it again.") from error
        self.device = devices.choose(device)
        self.calibration = Calibration.from_arrays(loaded.calibration)
        self.backbone = stored_backbone(self.settings, loaded.weights, loaded.card.name)
        self.prompts = new_prompts(self.backbone, self.settings)
        network_weights.restore({"prompts": self.prompts}, loaded.weights, loaded.card.name)
        self.backbone.eval()

    def detect(self, volume: Volume, report: Report = silent) -> AnomalyResult:
        """Heatmap (probability of the slice times map), slice scores (probability) and study score."""
        started = time.monotonic()
        stack = prepared(volume, self.backbone.size, self.settings, report)
        found = self.find(stack, report)
        scores = stack.per_slice(found.probability)
        heights = slice_heights(stack.region, volume.affine, volume.slice_axis)
        masks = pseudo_masks(found.blend, found.probability < self.settings.gate, self.settings)
        provenance = Provenance(
            engine=CARD.key,
            model=f"{self.model_card.name} {self.model_card.version}",
            model_digest=self.model_card.digest,
            settings=dataclasses.asdict(self.settings),
            device=found.device,
            precision=self.device.precision if found.device == self.device.name else "fp32",
            seconds=time.monotonic() - started,
            volume_uid=volume.uid,
            preparation=stack.steps,
            warnings=(
                *self.calibration.warnings,
                *found.warnings,
                *self.model_card.modality_warning(volume.modality),
            ),
            versions={"torch": str(torch.__version__), "numpy": np.__version__},
        )
        return self.calibration.result(
            volume,
            stack.to_volume(found.heat),
            scored_region(stack),
            scores,
            study_score(scores, self.calibration.slices.standardised(scores, heights)),
            provenance,
            {"pseudo mask": on_volume(stack, masks).astype(np.float32), **self._single_maps(stack, found)},
            heights=heights,
        )

    def find(self, stack: SliceStack, report: Report = silent) -> Found:
        """Probabilities and maps of prepared slices."""
        inside = coverage(torch.from_numpy(stack.foreground), self.backbone.side)

        def work(part: Tensor, where: str) -> tuple[Tensor, Tensor]:
            self.backbone.to(where)
            self.prompts.to(where)
            with torch.no_grad(), torch.autocast(where, torch.bfloat16, enabled=self._half(where)):
                looked = look_where(self.backbone, self.prompts, self.backbone.look(part.to(where)), self.settings)
            return looked.log_odds.cpu(), looked.maps.cpu()

        pictures = torch.from_numpy(stack.pictures)
        done = run_chunked(work, pictures, CHUNK[self.device.name], self.device, report, "looking at slices")
        log_odds, maps = (torch.cat([output[index] for output in done.outputs]) for index in (0, 1))
        smooth = smoothed_over_slices(log_odds.numpy(), stack.heights, self.settings)
        blend = blended(maps, inside, self.settings.blend)
        probability = torch.from_numpy(smooth).sigmoid().numpy()
        shown = on_pictures(blend, stack.pictures, stack.foreground, self.settings)
        return Found(probability, maps, shown, done.device, done.warnings)

    def _half(self, where: str) -> bool:
        return where == self.device.name and self.device.precision == "bf16"

    def _single_maps(self, stack: SliceStack, found: Found) -> dict[str, NDArray[np.float32]]:
        """The three maps one by one, unsharpened, each slice's highest 1."""
        inside = coverage(torch.from_numpy(stack.foreground), self.backbone.side)
        plain = dataclasses.replace(self.settings, guide_px=0)
        maps = {}
        for number, name in enumerate(MAPS):
            alone = blended(found.maps, inside, tuple(float(number == other) for other in range(3)))  # type: ignore[arg-type]
            maps[name] = stack.to_volume(on_pictures(alone, stack.pictures, stack.foreground, plain))
        return maps

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
        """Learn from slice labels, calibrate on held-out healthy slices, write the package to out.

        Checkpoints and looks at slices lie in the folder `out` + ".training", so that `resume` goes on after a kill.
        """
        fit(cohort, out, settings or Settings(), devices.choose(device), resume=resume, report=report)
        cls.calibrate(out, cohort, device=device, report=report)
        return out

    @classmethod
    def calibrate(cls, model: Path, cohort: Cohort, *, device: str = "auto", report: Report = silent) -> None:
        """Measure heat and probabilities on the held-out healthy slices of the cohort and store their percentiles."""
        engine = cls(model, device)
        samples = labelled(cohort, engine.settings, learning=False)[1]
        seen: list[tuple[str, Volume, SliceStack, NDArray[np.bool_], Found]] = []
        for done, sample in enumerate(samples):
            report(done, len(samples), f"calibrating on {sample.subject}")
            stack, labels = load_prepared(sample, engine.backbone.size, engine.settings)
            if not labels.all():
                seen.append((sample.subject, load_volume(sample), stack, labels, engine.find(stack)))
        if not seen:
            raise BadCohort("There is no healthy slice to calibrate on.", "Label some in the split 'val'.")
        # Twice, since a study's score is made of slice scores that are standardised by the first pass.
        calibration = _measured(seen, _measured(seen, None))
        model_package.replace_calibration(model, calibration.to_arrays())
        report(len(samples), len(samples), "calibrated")


def scored_region(stack: SliceStack) -> NDArray[np.bool_]:
    """The brain in the slices that were looked at, on the volume's grid."""
    looked_at = np.zeros(stack.slices, bool)
    looked_at[stack.indices] = True
    shape = [1, 1, 1]
    shape[stack.axis] = stack.slices
    scored: NDArray[np.bool_] = stack.region & looked_at.reshape(shape)
    return scored


def on_volume(stack: SliceStack, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Masks of slices (n, S, S) on the volume's grid."""
    return np.asarray(stack.to_volume(masks.astype(np.float32)) > 0.5) & scored_region(stack)


def _measured(
    seen: list[tuple[str, Volume, SliceStack, NDArray[np.bool_], Found]], first: Calibration | None
) -> Calibration:
    scores = HealthyScores()
    for subject, volume, stack, labels, found in seen:
        values = found.heat[~labels][stack.foreground[~labels]]
        known = np.where(labels, np.float32(np.nan), found.probability).astype(np.float32)
        per_slice = stack.per_slice(known)
        heights = slice_heights(stack.region, volume.affine, volume.slice_axis)
        ranked = first.slices.standardised(per_slice, heights) if first else per_slice
        score = float("nan") if labels.any() else study_score(per_slice, ranked)
        scores.add(subject, values, per_slice, heights, score)
    return scores.build()
