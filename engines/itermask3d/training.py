"""Training IterMask3D: fill masked parts of healthy brains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from engines.contract import Report
from engines.errors import BadCohort
from engines.files import load_volume
from engines.itermask3d.augmentation import quarter_turned, varied
from engines.itermask3d.lesions import planted
from engines.itermask3d.losses import filling_loss
from engines.itermask3d.masking import high_frequency_image, masked_input, training_mask
from engines.itermask3d.network import UNet3d, channels_last
from engines.itermask3d.preparation import Landmarks, normalised, percentiles, prepare
from engines.itermask3d.settings import Settings
from engines.samples import Cohort
from engines.training import TrainingState, averaged_copy, linear_decay, train


@dataclass(frozen=True, slots=True, eq=False)
class Healthy:
    """Healthy heads on the model's grid: float16 and bool (n, i, j, k), about 2 MB a head at 2 mm."""

    heads: Tensor
    brains: Tensor

    def __len__(self) -> int:
        return len(self.heads)


def healthy_volumes(cohort: Cohort, split: str, settings: Settings, report: Report) -> Healthy:
    """The normal volumes of a split, resampled; raises BadCohort when the train split has none."""
    samples = cohort.select(split=split, label="normal").samples
    if not samples and split == "train":
        raise BadCohort(
            f"{cohort.path} has no normal volume to train on.", "Label some subjects of the split 'train' as normal."
        )
    heads = np.empty((len(samples), *settings.size), np.float16)
    brains = np.empty(heads.shape, bool)
    for number, sample in enumerate(samples):
        report(0, settings.iterations, f"preparing {split} volume {number + 1} of {len(samples)}")
        grid = prepare(load_volume(sample), settings)
        heads[number], brains[number] = np.maximum(grid.head, 0), grid.brain
    return Healthy(torch.from_numpy(heads), torch.from_numpy(brains))


def healthy_landmarks(healthy: Healthy) -> Landmarks:
    """The mean percentiles of grey levels over healthy brains, in standard deviations of a brain."""
    pairs = zip(healthy.heads, healthy.brains, strict=True)
    found = torch.stack([percentiles(normalised(head.float(), brain)[brain]) for head, brain in pairs])
    return tuple(round(value, 4) for value in found.mean(0).tolist())


class Trainer:
    """One training run: owns network and optimiser, offers `step` and `validate` to the shared loop."""

    def __init__(self, settings: Settings, healthy: Healthy, held_out: Healthy, device: torch.device) -> None:
        self.settings, self.device = settings, device
        self.healthy, self.held_out = healthy, held_out
        torch.manual_seed(settings.seed)
        self.network = self._new()
        averaged = {"network": averaged_copy(self.network, self._new)} if settings.ema > 0 else {}
        self.random = torch.Generator(device).manual_seed(settings.seed)
        self.state = TrainingState(
            modules={"network": self.network},
            optimisers={"network": torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)},
            random=self.random,
            averaged=averaged,
        )

    def _new(self) -> UNet3d:
        network = UNet3d(self.settings.width, self.settings.dropout)
        return channels_last(network).to(self.device)

    def run(self, folder: Path, *, resume: bool, report: Report) -> TrainingState:
        """Train to the end (or on from a checkpoint in `folder`)."""
        settings = self.settings
        train(
            self.state,
            self.step,
            settings.iterations,
            folder,
            checkpoint_every=settings.checkpoint_every,
            resume=resume,
            ema=settings.ema,
            rate=self._rate(),
            validate=self.validate if len(self.held_out) else None,
            best_of="network",
            best_from=settings.iterations // 2,
            report=report,
        )
        for network in self.state.averaged.values():
            self._settle(network)
        return self.state

    def _rate(self) -> Callable[[int], float]:
        total = self.settings.iterations
        if self.settings.decay == "linear":
            return linear_decay(total)
        return lambda iteration: 1.0 if iteration < 0.6 * total else 0.1

    def _drawn(self, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A random training volume as it is shown, as it should be filled, mask and lesion: (1, i, j, k) each."""
        settings = self.settings
        index = int(torch.randint(len(self.healthy), (), generator=random, device=self.device))
        head, brain = self.healthy.heads[index].to(self.device).float(), self.healthy.brains[index].to(self.device)
        if settings.augment == "full":
            head, brain = varied(head, brain, random)
        elif settings.augment == "reference":
            head, brain = quarter_turned(head, brain, random)
        mask = training_mask(brain, settings.voxel_mm, settings.whole_brain, random)
        shown, lesion = head, torch.zeros_like(brain)
        if float(torch.rand((), generator=random, device=random.device)) < settings.planted:
            shown, lesion = planted(head, brain, settings.voxel_mm, random)
        healthy = normalised(head, brain, settings.landmarks, like=shown)
        return normalised(shown, brain, settings.landmarks)[None], healthy[None], mask[None], lesion[None]

    def _input(self, volumes: Tensor, masks: Tensor, random: torch.Generator) -> Tensor:
        noise = torch.randn(volumes.shape, generator=random, device=self.device)
        shown = masked_input(volumes, high_frequency_image(volumes, self.settings.radius), masks, noise)
        return shown.to(memory_format=torch.channels_last_3d)

    def step(self, iteration: int) -> Mapping[str, float]:
        """One step of Adam on `batch` volumes, each with a mask of its own."""
        drawn = [self._drawn(self.random) for _ in range(self.settings.batch)]
        shown, healthy, masks, lesions = map(torch.stack, zip(*drawn, strict=True))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            filled = self.network(self._input(shown, masks, self.random))
        loss = filling_loss(filled.float(), healthy, lesions, self.settings.lesion_weight)
        optimiser = self.state.optimisers["network"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return {"loss": loss.item()}

    @torch.no_grad()
    def validate(self) -> float:
        """Minus the mean squared error under the mask on held-out healthy volumes, with masks that never change.

        Every second mask is the whole brain, where a detection starts.
        """
        network = self.state.averaged.get("network")
        if network is None:
            network = self.network
        else:
            self._settle(network)
        was_training = network.training
        network.eval()
        errors = []
        for index in range(len(self.held_out)):
            random = torch.Generator(self.device).manual_seed(index)
            brain = self.held_out.brains[index].to(self.device)
            head = self.held_out.heads[index].to(self.device).float()
            volume = normalised(head, brain, self.settings.landmarks)[None, None]
            mask = training_mask(brain, self.settings.voxel_mm, float(index % 2), random)[None, None]
            filled = network(self._input(volume, mask, random))
            errors.append((filled - volume)[mask].square().mean())
        network.train(was_training)
        return -float(torch.stack(errors).mean())

    @torch.no_grad()
    def _settle(self, network: nn.Module) -> None:
        """Measure the batch norms' statistics of averaged weights anew, always on the same training volumes.

        Running statistics remember about ten volumes, and those under a whole-brain mask look quite different from the
        others: with them a network's validation error was a third higher, and jumped.
        """
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
        usual = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over all volumes
        was_training = network.training
        network.train()
        random = torch.Generator(self.device).manual_seed(self.settings.seed)
        for _ in range(self.settings.settle):
            shown, _, mask, _ = self._drawn(random)
            network(self._input(shown[None], mask[None], random))
        network.train(was_training)
        for norm, momentum in zip(norms, usual, strict=True):
            norm.momentum = momentum
