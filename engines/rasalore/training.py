"""Training stage 2 on pseudo-masks, lesion-free slices and, where there are any, corrected slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional

from engines.contract import Report, silent
from engines.rasalore import folded
from engines.rasalore.inference import top_mean
from engines.rasalore.losses import (
    coarse_mask_loss,
    dice,
    healthy_loss,
    point_loss,
    sharp_mask_loss,
    structure_loss,
)
from engines.rasalore.network import Output, RasaLore
from engines.rasalore.settings import Settings
from engines.rasalore.slices import DRAWN, Augmentation, Slices, State, point_mask
from engines.training import TrainingState, averaged_copy, linear_decay, train

REFRESHED = "refreshed.safetensors"
MOMENTUM = 0.9
HALVINGS = 10  # of the learning rate in one run (200 epochs, halved every 20)
CLIP = 1.0
LEAST_OVERLAP = 0.2  # Dice with the mask before, below which a refreshed mask is not believed


def new_network(settings: Settings) -> RasaLore:
    """A network of these settings; codes of the points come from the seed."""
    return RasaLore(
        settings.width,
        settings.size,
        settings.grid,
        settings.heads,
        legacy_floor=settings.legacy_floor,
        slice_head=settings.slice_weight > 0,
        random=torch.Generator().manual_seed(settings.seed),
    )


def losses(out: Output, batch: Slices, settings: Settings) -> dict[str, Tensor]:
    """Mean losses of a batch by name, each slice weighed by its trust. batch: on the device, float pictures."""
    logits = out.logits.float()
    core, rim = batch.core.float(), batch.rim.float()
    weight = torch.ones_like(core) if batch.weight is None else batch.weight.float()
    mask = sharp_mask_loss(logits, core, weight)
    if settings.targets == "coarse":
        drawn = torch.isin(batch.states, torch.tensor(DRAWN, device=batch.states.device))
        mask = torch.where(drawn, mask, coarse_mask_loss(logits.sigmoid(), core, rim))
    mask = torch.where(batch.empty, healthy_loss(logits, weight), mask)
    points = point_mask(core, settings.grid, settings.point_sampling)
    terms = {
        "mask": mask,
        "points": settings.point_weight * point_loss(out.activations.float(), points),
        "structure": settings.structure_weight * structure_loss(out.codes.float(), points),
    }
    means = {name: (batch.trust * values).mean() for name, values in terms.items()}
    if settings.slice_weight > 0:
        shown = (~batch.empty).float()
        entropy = functional.binary_cross_entropy_with_logits(out.slice_logits.float(), shown)
        means["slice"] = settings.slice_weight * entropy
    return means


class Trainer:
    """One training run: owns network and optimiser, offers `step` and `validate` to the shared loop."""

    def __init__(
        self,
        settings: Settings,
        train_slices: Slices,
        held_out: Slices,
        device: torch.device,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.settings, self.device = settings, device
        self.slices, self.held_out = train_slices.to(device), held_out.to(device)
        torch.manual_seed(settings.seed)
        network = new_network(settings).to(device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if start is not None:
            network.load_state_dict(start)
        self.network = network
        averaged = {}
        if settings.ema > 0:
            averaged["network"] = averaged_copy(network, lambda: new_network(settings).to(device))
        self.random = torch.Generator(device).manual_seed(settings.seed)
        self.state = TrainingState(
            modules={"network": network},
            optimisers={"network": _optimiser(network, settings)},
            random=self.random,
            averaged=averaged,
        )
        self.augment = Augmentation(settings.turn_degrees, settings.mirror, settings.grey)
        self._folder: Path | None = None
        self._round = -1

    def run(self, folder: Path, *, resume: bool, report: Report = silent) -> TrainingState:
        """Train to the end (or on from a checkpoint in `folder`)."""
        settings = self.settings
        self._folder = folder
        if not resume:
            (folder / REFRESHED).unlink(missing_ok=True)
        report(0, settings.iterations, "training")
        train(
            self.state,
            self.step,
            settings.iterations,
            folder,
            checkpoint_every=settings.checkpoint_every,
            resume=resume,
            ema=settings.ema,
            rate=linear_decay(settings.iterations) if settings.decay == "linear" else self._halving,
            validate=self.validate,
            best_of="network",
            best_from=settings.iterations // 2,
            report=report,
        )
        return self.state

    @property
    def best(self) -> dict[str, Tensor]:
        """The weights to keep."""
        return self.state.best or dict(self.followed.state_dict())

    @property
    def followed(self) -> nn.Module:
        """The averaged network, or the trained one where none is averaged."""
        averaged = self.state.averaged
        return averaged["network"] if averaged else self.network

    def _halving(self, iteration: int) -> float:
        return 0.5 ** (iteration * HALVINGS // self.settings.iterations)

    def step(self, iteration: int) -> Mapping[str, float]:
        """One optimisation step on a fresh batch."""
        self._refresh_when_due(iteration)
        batch = self.augment(self._drawn(), self.random)
        torch.manual_seed(self.settings.seed + iteration)  # dropout after a resume is that of an unbroken run
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            out = folded.forward(self.network, batch.pictures)
        terms = losses(out, batch, self.settings)
        optimiser = self.state.optimisers["network"]
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        optimiser.step()
        return {name: value.item() for name, value in terms.items()}

    def _drawn(self) -> Slices:
        """A batch with its share of lesion-free slices; slices of trust 0 are left out."""
        empty = self.slices.empty
        healthy = torch.nonzero(empty).flatten()
        ill = torch.nonzero(~empty & (self.slices.trust > 0)).flatten()
        count = round(self.settings.batch * self.settings.healthy_share) if len(healthy) else 0
        parts = [(ill, self.settings.batch - count), (healthy, count)]
        chosen = [
            pool[torch.randint(len(pool), (n,), generator=self.random, device=self.device)]
            for pool, n in parts
            if n and len(pool)
        ]
        return self.slices[torch.cat(chosen)]

    @torch.no_grad()
    def probabilities(self, slices: Slices) -> tuple[Tensor, Tensor]:
        """Mask probabilities (n, 1, 2S, 2S) float16 and slice probabilities (n,) of slices, by the followed network."""
        network = self.followed.eval()
        found = []
        for index in torch.arange(len(slices), device=self.device).split(32):
            out = folded.forward(network, slices.pictures[index].float())  # type: ignore[arg-type]
            found.append((out.logits.float().sigmoid().half(), out.slice_logits.float().sigmoid()))
        masks, shown = zip(*found, strict=True)
        return torch.cat(masks), torch.cat(shown)

    def validate(self) -> float:
        """How well held-out slices agree with weak signals: AUROC of slice scores, and Dice with pseudo-masks.

        Drawn masks play no part. Without both kinds of slices only what is known counts.
        """
        probability, shown = self.probabilities(self.held_out)
        empty = self.held_out.empty
        maps = probability.float()
        figures = []
        if bool(empty.any()) and not bool(empty.all()):
            inside = functional.interpolate(self.held_out.foreground.float(), maps.shape[2:])[:, 0] > 0.5
            top = top_mean(maps[:, 0].cpu().numpy(), inside.cpu().numpy(), self.settings.top_share)
            scores = top * shown.cpu().numpy() if self.settings.slice_weight > 0 else top
            figures.append(float(roc_auc_score(~empty.cpu().numpy(), scores)))
        if not bool(empty.all()):
            figures.append(dice((maps > 0.5).float(), self.held_out.core.float())[~empty].mean().item())
        if not figures:
            figures.append(-maps.mean().item())
        return float(np.mean(figures))

    def _refresh_when_due(self, iteration: int) -> None:
        """Let the network's own masks become the next pseudo-masks, `rounds` times in a run."""
        rounds, folder = self.settings.rounds, self._folder
        number = iteration * (rounds + 1) // self.settings.iterations
        if number == self._round or not rounds or folder is None:
            return
        kept = folder / REFRESHED
        if number and self._round < 0 and kept.is_file() and _round_of(kept) == number:
            core = load_file(kept)["core"].bool().to(self.device)  # a resumed run goes on with the same masks
        elif number:
            core = self.refreshed()
            save_file({"core": core.to(torch.uint8).cpu()}, kept, metadata={"round": str(number)})
        else:
            core = self.slices.core
        self.slices = replace(self.slices, core=core, rim=core)
        self._round = number

    def refreshed(self) -> Tensor:
        """The network's masks of slices with automatic masks, where they still overlap the ones before."""
        probability, _ = self.probabilities(self.slices)
        found = probability > 0.5
        before = self.slices.core
        trusted = (dice(found.float(), before.float()) > LEAST_OVERLAP) & (self.slices.states == State.AUTO)
        return torch.where(trusted[:, None, None, None], found, before)


def _round_of(file: Path) -> int:
    with safe_open(file, framework="pt") as opened:
        return int(opened.metadata()["round"])


def _optimiser(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    if settings.optimiser == "sgd":
        return torch.optim.SGD(network.parameters(), lr=settings.learning_rate, momentum=MOMENTUM)
    return torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=1e-4)
