"""Training stage 0: encoder and mirror learn to agree on healthy slices (losses in contrast.py)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from engines.blocks.slice_encoder import SliceEncoder
from engines.contract import Report
from engines.simpleslicenet.contrast import MOMENTUM, ContrastDecoder, contrast_loss, spread
from engines.simpleslicenet.settings import Settings
from engines.training import TrainingState, decayed, train

MOST_NORM = 1.0  # of the whole gradient
WEIGHT_DECAY = 1e-4


class ContrastTrainer:
    """One training run of stage 0 on pictures (n, S, S) float16 in -1..1."""

    def __init__(self, settings: Settings, encoder: SliceEncoder, pictures: Tensor, device: torch.device) -> None:
        self.settings, self.pictures, self.device = settings, pictures, device
        torch.manual_seed(settings.seed)
        self.encoder = encoder.to(device).requires_grad_(True).train()
        self.decoder = ContrastDecoder(settings.backbone).to(device).train()
        # Channels last costs a third less on a CPU; the numbers stay the same.
        for network in (self.encoder, self.decoder):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for module in self.encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = MOMENTUM
        self.random = torch.Generator().manual_seed(settings.seed)
        self.optimiser = torch.optim.AdamW(
            [
                {"params": self.decoder.parameters(), "lr": settings.contrast_rate},
                {"params": self.encoder.parameters(), "lr": settings.contrast_encoder_rate},
            ],
            weight_decay=WEIGHT_DECAY,
        )
        self.state = TrainingState(
            modules={"encoder": self.encoder, "decoder": self.decoder},
            optimisers={"both": self.optimiser},
            random=self.random,
        )

    def run(self, folder: Path, *, resume: bool, report: Report) -> TrainingState:
        """Train to the end (or on from a checkpoint in `folder`), then freeze both networks."""
        settings = self.settings
        train(
            self.state, self.step, settings.contrast_iterations, folder,
            checkpoint_every=min(settings.checkpoint_every, 100), resume=resume, report=report,
            rate=decayed(settings.decay, settings.contrast_iterations),
        )  # fmt: skip
        for network in (self.encoder, self.decoder):
            network.eval().requires_grad_(False)
        return self.state

    def step(self, iteration: int) -> Mapping[str, float]:
        """One optimiser step on slices drawn with replacement; `spread` falls towards 0 when the encoder collapses."""
        index = torch.randint(len(self.pictures), (self.settings.contrast_batch,), generator=self.random)
        encoded = self.encoder(self.pictures[index].to(self.device).float())
        terms = contrast_loss(encoded[:3], self.decoder(encoded[3]))
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(terms).sum().backward()
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, MOST_NORM)
        self.optimiser.step()
        losses = {f"level{level}": term.item() for level, term in enumerate(terms, start=1)}
        return losses | {"spread": spread(encoded[2]).item()}
