"""Training the flow on stored features: likelihood of healthy places, and a line between them and noisy ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from engines.blocks.feature_store import FeatureStore
from engines.contract import Report
from engines.simpleslicenet import losses
from engines.simpleslicenet.flow import ConditionalFlow
from engines.simpleslicenet.position import WIDTH, position_code
from engines.simpleslicenet.settings import Settings
from engines.training import TrainingState, decayed, train

VALIDATED = 8192  # held-out places that choose the checkpoint


def new_flow(settings: Settings, width: int) -> ConditionalFlow:
    """A flow for features of this width."""
    axes = 3 if settings.height else 2
    return ConditionalFlow(width, axes * WIDTH, settings.blocks, settings.seed)


def condition(place: Tensor, settings: Settings) -> Tensor:
    """place: (n, 3) row, column, height -> what the flow is told, (n, 128 or 192)."""
    rows, cols, heights = place.unbind(1)
    return position_code(rows, cols, heights if settings.height else None)


class FlowTrainer:
    """One training run: owns the flow and its optimiser, offers `step` and `validate` to the shared loop.

    lesions: places of planted lesions of the training subjects and of the held-out ones; None = noise only.
    """

    def __init__(
        self,
        settings: Settings,
        healthy: FeatureStore,
        held_out: FeatureStore,
        lesions: tuple[FeatureStore, FeatureStore] | None,
        device: torch.device,
    ) -> None:
        self.settings, self.healthy, self.device = settings, healthy, device
        self.lesions = lesions[0] if lesions else None
        torch.manual_seed(settings.seed)
        self.flow = new_flow(settings, healthy.width)
        mean, deviation = healthy.moments()
        if settings.standardise:
            self.flow.mean.copy_(mean)
            self.flow.deviation.copy_(deviation)
        self.noise = settings.noise * torch.ones(healthy.width)
        if settings.relative_noise:
            self.noise *= deviation if settings.standardise else deviation.mean()
        self.flow.to(device)
        self.noise = self.noise.to(device)
        # Numbers are drawn on the CPU: rows are read from the disk there.
        self.random = torch.Generator().manual_seed(settings.seed)
        self.held_out = [self._chosen(part) for part in (held_out, *(lesions[1:] if lesions else ()))]
        self.optimiser = torch.optim.Adam(self.flow.parameters(), lr=settings.learning_rate)
        self._watched: dict[str, float] = {}
        self.state = TrainingState(modules={"flow": self.flow}, optimisers={"flow": self.optimiser}, random=self.random)

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
            rate=decayed(settings.decay, settings.iterations),
            validate=self.validate,
            best_of="flow",
            report=report,
        )
        return self.state

    def step(self, iteration: int) -> Mapping[str, float]:
        """One optimiser step on fresh places and as many synthetic ones: noisy twins and places of planted lesions."""
        settings = self.settings
        spp = settings.loss == "spp" and iteration >= settings.warm_up * settings.iterations
        count = settings.batch if settings.loss == "triplet" else settings.batch // 2
        features, place = self.healthy.draw(count, settings.subjects, self.random)
        features, code = features.to(self.device), condition(place, settings).to(self.device)
        if not spp and settings.loss != "triplet":
            likely = self._log_likelihood(features, code)
            terms = {"likelihood": self._likelihood_loss(likely)}
        else:
            noise = torch.randn(features.shape, generator=self.random).to(self.device) * self.noise
            synthetic, told = features + noise, code
            if self.lesions is not None:
                planted = round(settings.lesion_share * count)
                lesions, place = self.lesions.draw(planted, settings.subjects, self.random)
                synthetic = torch.cat([lesions.to(self.device), synthetic[planted:]])
                told = torch.cat([condition(place, settings).to(self.device), code[planted:]])
            both = self._log_likelihood(torch.cat([features, synthetic]), torch.cat([code, told]))
            terms = self._contrastive(*both.chunk(2))
        loss = torch.stack(list(terms.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return {name: term.item() for name, term in terms.items()} | self._watched

    def _contrastive(self, likely: Tensor, synthetic: Tensor) -> dict[str, Tensor]:
        settings = self.settings
        with torch.no_grad():
            line = losses.boundary(likely, settings.beta) - settings.tau
            truth = torch.cat([torch.zeros_like(likely), torch.ones_like(synthetic)]).cpu().numpy()
            self._watched = {
                "boundary": line.item() + settings.tau,
                "above": (synthetic / losses.NORMALIZER >= line).float().mean().item(),
                "separation": float(roc_auc_score(truth, -torch.cat([likely, synthetic]).cpu().numpy())),
            }
        terms = {"likelihood": self._likelihood_loss(likely)}
        if settings.loss == "triplet":
            order = torch.randperm(len(likely), generator=self.random).to(self.device)
            return terms | {"triplet": losses.triplet(likely, likely[order], synthetic)}
        pull, push = losses.semi_push_pull(
            likely, synthetic, beta=settings.beta, tau=settings.tau, focal=settings.focal_weights, capped=True
        )
        return terms | {"pull": settings.spp_weight * pull, "push": settings.spp_weight * push}

    def _likelihood_loss(self, likely: Tensor) -> Tensor:
        focal = self.settings.focal_weights and self.settings.loss == "spp"
        return losses.likelihood_loss(likely, losses.focal_normal(likely) if focal else None)

    def _log_likelihood(self, features: Tensor, code: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.flow.log_likelihood(features, code)

    @torch.no_grad()
    def validate(self) -> float:
        """How well held-out healthy places stand out from lesions planted beside them (AUROC), else their likelihood.

        A choice without any label of a real lesion.
        """
        healthy, *planted = (self._log_likelihood(*part).cpu() for part in self.held_out)
        if not planted:
            return healthy.mean().item()
        truth = torch.cat([torch.ones_like(healthy), torch.zeros_like(planted[0])])
        return float(roc_auc_score(truth.numpy(), torch.cat([healthy, *planted]).numpy()))

    def _chosen(self, held_out: FeatureStore) -> tuple[Tensor, Tensor]:
        """The same places at every validation: features and what the flow is told of them."""
        random = torch.Generator().manual_seed(self.settings.seed)
        features, place = held_out.draw(VALIDATED, len(held_out.features), random)
        return features.to(self.device), condition(place, self.settings).to(self.device)
