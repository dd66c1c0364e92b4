"""Training the prompts: one prompted pass a step over kept looks; every other network stays as it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from engines.contract import Report
from engines.ddpt.losses import auxiliary_loss, cosine_logits, text_phase
from engines.ddpt.network import Backbone, DualPrompts, glance, zero_shot
from engines.ddpt.seen_slices import SeenSlices
from engines.ddpt.settings import Settings
from engines.training import TrainingState, train

TEXT_WARM_UP = 0.1  # of the warm-up of the other prompts


def new_prompts(backbone: Backbone, settings: Settings) -> DualPrompts:
    """Prompts of these settings, drawn from settings.seed."""
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        return DualPrompts(backbone, settings.context, settings.visual, settings.extra_keys)


class PromptTrainer:
    """One training run of the prompts: owns them and their optimisers, offers `step` to the shared loop."""

    def __init__(self, settings: Settings, backbone: Backbone, looks: SeenSlices, device: torch.device) -> None:
        self.settings, self.backbone, self.looks, self.device = settings, backbone, looks, device
        self.prompts = new_prompts(backbone, settings).to(device)
        texts = [self.prompts.text_context]
        others = [value for name, value in self.prompts.named_parameters() if name != "text_context"]
        self.random = torch.Generator().manual_seed(settings.seed)
        self.state = TrainingState(
            modules={"prompts": self.prompts},
            optimisers={
                "image": self._optimiser(others, settings.learning_rate),
                "text": self._optimiser(texts, settings.text_rate),
            },
            random=self.random,
        )
        self._rates = {
            "image": warm_cosine(settings, settings.warm_up, settings.learning_rate),
            "text": warm_cosine(settings, settings.warm_up * TEXT_WARM_UP, settings.text_rate),
        }

    def _optimiser(self, parameters: list[torch.nn.Parameter], rate: float) -> torch.optim.Optimizer:
        settings = self.settings
        if settings.optimiser == "adamw":
            return torch.optim.AdamW(parameters, rate, weight_decay=settings.weight_decay)
        return torch.optim.SGD(parameters, rate, settings.momentum, weight_decay=settings.weight_decay)

    def run(self, folder: Path, *, resume: bool, report: Report) -> TrainingState:
        """Train to the end (or on from a checkpoint in `folder`); the last prompts count, nothing is chosen."""
        settings = self.settings
        every = settings.checkpoint_every
        train(self.state, self.step, settings.iterations, folder, checkpoint_every=every, resume=resume, report=report)
        return self.state

    def step(self, iteration: int) -> Mapping[str, float]:
        """One optimisation step on a batch of looks."""
        settings, optimisers = self.settings, self.state.optimisers
        for name, optimiser in optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = self._rates[name](iteration)
        rows = torch.randint(len(self.looks), (settings.batch,), generator=self.random)
        seen, _, _ = self.looks.take(rows, self.device)
        labels = self.looks.labels[rows].long().to(self.device)
        if self.backbone.mirrors and torch.rand((), generator=self.random) < 0.5:
            seen = self.backbone.mirrored(seen)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            terms = self._losses(seen, labels, iteration < settings.text_phase * settings.iterations)
        loss = terms["image"] + settings.alpha * terms["class prompts"]
        for optimiser in optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for optimiser in optimisers.values():
            optimiser.step()
        return {name: term.item() for name, term in terms.items()}

    def _losses(self, seen: Tensor, labels: Tensor, early: bool) -> dict[str, Tensor]:
        backbone, learned = self.backbone, self.settings.text == "learned"
        with torch.no_grad():
            tokens = backbone.embed(seen)
        found = glance(backbone, self.prompts, tokens, learned_text=learned)
        right = (found.logits.detach().argmax(1) == labels).float().mean()
        terms = {"class prompts": auxiliary_loss(found, labels), "right": right}
        if not early:
            return terms | {"image": functional.cross_entropy(found.logits, labels)}
        feature = backbone.project(found.tokens[:, 0])
        written = cosine_logits(feature, backbone.written_texts(), backbone.scale)
        # With written texts nothing learned enters this logit: the pass would only add a constant.
        plain = cosine_logits(zero_shot(backbone, tokens), found.texts, backbone.scale) if learned else written.detach()
        return terms | {"image": text_phase(found.logits, plain, written, labels)}


def warm_cosine(settings: Settings, warm_up: float, rate: float) -> Callable[[int], float]:
    """Learning rate by iteration: warm_up_rate for a share of the training, then a cosine.

    The cosine is laid over the whole length, counted from the end of the warm-up, so it does not reach 0 (published).
    """
    first = round(warm_up * settings.iterations)

    def at(iteration: int) -> float:
        if iteration < first:
            return settings.warm_up_rate
        return 0.5 * rate * (1 + math.cos(math.pi * (iteration - first) / settings.iterations))

    return at
