"""Training SAGAN: WGAN-GP with identity and restoration terms on known normal and unlabeled slices."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from engines.contract import Report
from engines.sagan.inference import HealthyResidual, Maps, Masks, restore_pictures, slice_scores, smoothed
from engines.sagan.losses import critic_loss, generator_losses
from engines.sagan.network import Critic, Generator
from engines.sagan.patches import restore_grid
from engines.sagan.pictures import Pictures, TrainingSets, augmented
from engines.sagan.pseudo_anomaly import pseudo_anomalies
from engines.sagan.settings import Settings
from engines.training import TrainingState, averaged_copy, linear_decay, train


def new_generator(settings: Settings) -> Generator:
    """A generator of these settings."""
    return Generator(settings.width, settings.n_res, position=settings.position, slice_height=settings.slice_height)


def residual(pictures: Tensor, restored: Tensor) -> Tensor:
    """|x - restored| / 2, in 0..1: how much the generator changed each pixel."""
    return (pictures - restored).abs() / 2


class Trainer:
    """One training run: owns the networks and optimisers, offers `step` and `validate` to the shared loop."""

    def __init__(self, settings: Settings, sets: TrainingSets, device: torch.device) -> None:
        self.settings, self.device = settings, device
        self.normal, self.unlabeled, self.held_out = (
            part.to(device) for part in (sets.normal, sets.unlabeled, sets.held_out)
        )
        torch.manual_seed(settings.seed)
        generator = new_generator(settings).to(device)
        critic = Critic(settings.width).to(device)
        averaged = {}
        if settings.ema > 0:
            averaged["generator"] = averaged_copy(generator, lambda: new_generator(settings).to(device))
        self.generator, self.critic = generator, critic
        adam = partial(torch.optim.Adam, lr=settings.learning_rate, betas=settings.betas)
        self.random = torch.Generator(device).manual_seed(settings.seed)
        self.state = TrainingState(
            modules={"generator": generator, "critic": critic},
            optimisers={
                "generator": adam(generator.parameters()),
                "critic": adam(critic.parameters()),
            },
            random=self.random,
            averaged=averaged,
        )

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
            rate=linear_decay(settings.iterations) if settings.decay == "linear" else self._reference_rate,
            validate=self.validate,
            best_of="generator",
            best_from=settings.iterations // 2,
            report=report,
        )
        return self.state

    def _reference_rate(self, iteration: int) -> float:
        # The published code subtracts lr / 50,000 once every 1,000 iterations of the second half.
        late = max(0, iteration - self.settings.iterations // 2)
        return 1.0 - (late // 1000) / 50_000

    def _draw(self, source: Pictures) -> tuple[Tensor, Tensor, Tensor]:
        # torch.Generator draws on its own device, so nothing is copied.
        index = torch.randint(len(source), (self.settings.batch,), generator=self.random, device=self.device)
        pictures, foreground, heights = source.batch(index)
        if self.settings.augment:
            pictures, foreground = augmented(pictures, foreground, self.random, mirror=self.settings.mirror)
        return pictures, foreground, heights

    def _restore(self, patches: Tensor, code: Tensor) -> Tensor:
        """tanh(map + x); 5 % of the pixels show tanh(2 x) instead, SQUID's masked shortcut."""
        added, _ = self.generator(patches, code)
        added = added.to(patches.dtype)
        if self.settings.mask_keep < 1:
            keep = torch.rand(added.shape, generator=self.random, device=self.device) < self.settings.mask_keep
            added = torch.where(keep, added, patches)
        return torch.tanh(added + patches)

    def _restored(self, pictures: Tensor, heights: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            return restore_grid(
                self._restore, pictures, self.settings.n_patch, heights if self.settings.slice_height else None
            )

    def step(self, iteration: int) -> Mapping[str, float]:
        """One critic step, and a generator step on every `critic_steps`-th iteration with the same pictures."""
        settings = self.settings
        unlabeled, _, unlabeled_heights = self._draw(self.unlabeled)
        normal, foreground, normal_heights = self._draw(self.normal)
        learn = (iteration + 1) % settings.critic_steps == 0
        if learn:  # one pass for G(A), G(B), G(P): nothing couples pictures, so it equals three passes
            pseudo = pseudo_anomalies(normal, foreground, self.random, settings)
            heights = torch.cat([unlabeled_heights, normal_heights, normal_heights])
            fake, kept, restored = self._restored(torch.cat([unlabeled, normal, pseudo]), heights).chunk(3)
        else:
            with torch.no_grad():
                fake = self._restored(unlabeled, unlabeled_heights)
        losses = {"critic": self._critic_step(normal, fake.detach())}
        if learn:
            weight = foreground if settings.foreground else None
            terms = generator_losses(self.critic, fake, normal, kept, restored, weight)
            loss = (
                terms["adversarial"]
                + settings.identity_weight * terms["identity"]
                + settings.restoration_weight * terms["restoration"]
            )
            self.state.optimisers["generator"].zero_grad(set_to_none=True)
            loss.backward()
            self.state.optimisers["generator"].step()
            # Twice as seldom as the critic's, so the sums are scaled to stay means.
            losses |= {key: value.item() * settings.critic_steps for key, value in terms.items()}
        return losses

    def _critic_step(self, normal: Tensor, fake: Tensor) -> float:
        epsilon = torch.rand(normal.shape[0], 1, 1, 1, generator=self.random, device=self.device)
        loss = critic_loss(self.critic, normal, fake, epsilon, self.settings.gradient_penalty)
        self.state.optimisers["critic"].zero_grad(set_to_none=True)
        loss.backward()
        self.state.optimisers["critic"].step()
        return loss.item()

    def validate(self) -> float:
        """AUCp: AUROC of held-out known normals against all unlabeled slices, a choice without labels (Brainomaly).

        Scored as detection scores, but for the smoothing over neighbouring slices.
        """
        network = self.state.averaged.get("generator", self.generator)
        held_out, unlabeled = (self.changes(network, part) for part in (self.held_out, self.unlabeled))
        healthy = HealthyResidual.measured([(smoothed(*held_out, self.settings), held_out[1])])
        scores = [
            slice_scores(healthy.heat(smoothed(change, inside, self.settings), inside), change, inside, self.settings)
            for change, inside in (held_out, unlabeled)
        ]
        truth = np.repeat([0, 1], [len(part) for part in scores])
        return float(roc_auc_score(truth, np.concatenate(scores)))

    def changes(self, network: nn.Module, source: Pictures) -> tuple[Maps, Masks]:
        """Residuals (n, S, S) of all slices, and their foreground."""
        changes = []
        for index in torch.arange(len(source), device=self.device).split(128):
            pictures, _, heights = source.batch(index)
            restored = restore_pictures(network, self.settings, pictures, heights)[:, :1]
            changes.append(residual(pictures, restored)[:, 0].cpu())
        return torch.cat(changes).numpy(), source.foreground[:, 0].cpu().numpy()
