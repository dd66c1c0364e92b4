"""From a cohort to a package without calibration: looks at slices, pretraining where needed, prompts."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from engines import model_package
from engines.blocks.network_weights import gathered
from engines.contract import Report
from engines.ddpt import CARD
from engines.ddpt.backbones import backbone_to_train, stored_networks
from engines.ddpt.clip_backbone import ClipBackbone
from engines.ddpt.compact import CompactBackbone
from engines.ddpt.pretraining import Pretrainer
from engines.ddpt.seen_slices import Kind, seen_slices
from engines.ddpt.settings import Settings
from engines.ddpt.slices import labelled
from engines.ddpt.training import PromptTrainer
from engines.device import Device
from engines.healthy import HealthyScores
from engines.model_card import ModelCard, TrainingData
from engines.samples import Cohort, Sample

LIMITS = (
    "Learned from slice labels alone: it knows in which slice a lesion lies better than where it ends. Finds what its "
    "training slices call a lesion and nothing else; other scanners, contrasts and diseases may look healthy to it. "
    "Healthy slices of its training came from patients."
)
NOT_CLIP = " The backbone is not CLIP: a small transformer on ImageNet features (EfficientNet-Lite0, Apache-2.0)."
CLIP_USE = " Needs the CLIP it was trained on; CLIP's own model card calls any deployed use out of scope."


def fit(cohort: Cohort, out: Path, settings: Settings, device: Device, *, resume: bool, report: Report) -> None:
    """Train on the cohort's slice labels and write a package to out; its calibration says nothing yet."""
    started = time.monotonic()
    folder = out.with_name(out.name + ".training")
    train, _ = labelled(cohort, settings)
    backbone, digest, raw = backbone_to_train(settings)
    backbone.to(device.torch)
    looks = seen_slices(
        cohort, train, Kind(settings.versions), backbone, digest, settings, folder / "looks", device, report
    )
    if raw and isinstance(backbone, CompactBackbone):
        kind = Kind(max(1, settings.versions - 1), plant=True)
        planted = seen_slices(cohort, train, kind, backbone, digest, settings, folder / "looks", device, report)
        report(0, settings.pretraining, "pretraining")
        pretrainer = Pretrainer(settings, backbone, looks, planted, device.torch)
        pretrainer.run(folder / "pretraining", resume=resume, report=report)
    report(0, settings.iterations, "training the prompts")
    trainer = PromptTrainer(settings, backbone, looks, device.torch)
    trainer.run(folder / "prompts", resume=resume, report=report)
    if isinstance(backbone, ClipBackbone):
        settings = dataclasses.replace(settings, clip_digest=digest)
    card = _card(cohort, train, settings, backbone.size, time.monotonic() - started)
    nobody = HealthyScores()
    nobody.add("none", np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    weights = gathered(stored_networks(backbone, trainer.prompts))
    model_package.write(out, card, weights, nobody.build().to_arrays(), half=True)


def _card(cohort: Cohort, train: list[Sample], settings: Settings, size: int, seconds: float) -> ModelCard:
    modalities = {sample.modality for sample in train}
    return ModelCard(
        engine=CARD.key,
        name=f"DDPT {' '.join(sorted(modalities))}".strip(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        modality=modalities.pop() if len(modalities) == 1 else "",
        settings=dataclasses.asdict(settings),
        preparation={"normalisation": "tissue", "size": size, "margin": settings.margin},
        training_data=(
            TrainingData(
                cohort=cohort.name,
                digest=cohort.digest,
                subjects=len({sample.subject for sample in train}),
                note="Slice labels only; no outline of a lesion was read.",
            ),
        ),
        limits=LIMITS + (CLIP_USE if settings.backbone == "clip" else NOT_CLIP),
        seconds=seconds,
    )
