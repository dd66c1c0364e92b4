"""Making a model's networks: encoder, stage 0 where asked, stored features, flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from engines.blocks.feature_store import FeatureStore, Version, stored_features
from engines.blocks.healthy_samples import healthy_samples
from engines.blocks.network_weights import gathered
from engines.blocks.patch_features import feature_size
from engines.blocks.place_memory import remembered
from engines.blocks.slab_features import View, look
from engines.blocks.slice_encoder import TO_STRIDE_16, TO_STRIDE_32, chosen_encoder
from engines.contract import Report
from engines.device import Device
from engines.errors import BadCohort
from engines.files import load_volume
from engines.samples import Cohort, Sample
from engines.simpleslicenet.contrast_training import ContrastTrainer
from engines.simpleslicenet.settings import Settings
from engines.simpleslicenet.training import FlowTrainer, new_flow


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """weights: of all networks by name, and the memory. learned: the samples learned from.

    encoder_digest: SHA-256 of the ImageNet weights' file ("" = random). noise_sigma: of the synthetic anomalies,
    absolute. seconds: spent in optimisation.
    """

    weights: dict[str, Tensor]
    learned: list[Sample]
    encoder_digest: str
    noise_sigma: float
    seconds: float


def fit_networks(
    cohort: Cohort, folder: Path, settings: Settings, device: Device, *, resume: bool, report: Report
) -> Fitted:
    """Learn from the cohort's normal training subjects; `folder` keeps features and checkpoints."""
    healthy, held_out = healthy_samples(cohort, settings.held_out, settings.seed)
    if not healthy or not held_out:
        raise BadCohort(
            "SimpleSliceNet needs at least two normal subjects, one of them held out.",
            "Label some subjects of the splits 'train' and 'val' as normal.",
        )
    levels = TO_STRIDE_32 if settings.contrast_iterations else TO_STRIDE_16
    encoder, digest = chosen_encoder(settings.backbone, settings.weights, settings.seed, levels)
    feature_size(encoder.channels[1:3], settings.features)  # a wrong width is told before hours of work
    seconds, networks = 0.0, dict[str, nn.Module](encoder=encoder)
    if settings.contrast_iterations:
        trainer = ContrastTrainer(settings, encoder, _pictures(healthy, settings, report), device.torch)
        seconds += trainer.run(folder / "contrast", resume=resume, report=report).seconds
        networks["decoder"] = trainer.decoder
    flow, sigma, memory = new_flow(settings, feature_size(encoder.channels[1:3], settings.features)), 0.0, {}
    if settings.heatmap == "likelihood":

        def features(samples: list[Sample], versions: tuple[Version, ...]) -> dict[Version, FeatureStore]:
            where = folder / "features"
            return stored_features(cohort, samples, versions, encoder, View.of(settings), where, device, report)

        fit = _flow_trainer(settings, features, healthy, held_out, device)
        state = fit.run(folder / "flow", resume=resume, report=report)
        seconds += state.seconds
        flow, sigma = fit.flow, fit.noise.mean().item()
        if state.best:
            flow.load_state_dict(state.best)
        if settings.remembers:
            memory = {"memory": remembered(fit.healthy, settings.memory, settings.seed, report)}
    networks["flow"] = flow
    return Fitted({**gathered(networks), **memory}, healthy, digest, sigma, seconds)


def _flow_trainer(
    settings: Settings,
    features: Callable[[list[Sample], tuple[Version, ...]], dict[Version, FeatureStore]],
    healthy: list[Sample],
    held_out: list[Sample],
    device: Device,
) -> FlowTrainer:
    known: tuple[Version, ...] = ("plain", "changed") if settings.changed else ("plain",)
    # In turn, so that the first lesions lie in as many different brains as there are.
    wanted = settings.lesions if settings.lesion_share > 0 else 0
    each, more = divmod(wanted, len(healthy))
    learned = ill = FeatureStore((), ())
    for part, count in ((healthy[:more], each + 1), (healthy[more:], each)):
        lesions = tuple(f"lesion {number}" for number in range(count))
        stores = features(part, (*known, *lesions)) if part else {}
        learned += _joined(stores, known)
        ill += _joined(stores, lesions)
    apart = features(held_out, ("plain", "lesion 0") if wanted else ("plain",))
    # In a brain too small for a lesion nothing is planted; noise alone has to do then.
    planted = (ill, apart["lesion 0"]) if len(ill) and len(apart["lesion 0"]) else None
    return FlowTrainer(settings, learned, apart["plain"], planted, device.torch)


def _joined(stores: dict[Version, FeatureStore], versions: tuple[Version, ...]) -> FeatureStore:
    return sum((stores[one] for one in versions if one in stores), start=FeatureStore((), ()))


def _pictures(samples: list[Sample], settings: Settings, report: Report) -> Tensor:
    found = []
    for number, sample in enumerate(samples):
        report(number, len(samples), "preparing slices for stage 0")
        found.append(torch.from_numpy(look(load_volume(sample), View.of(settings)).stack.pictures).half())
    return torch.cat(found)
