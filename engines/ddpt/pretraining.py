"""Pretraining of the compact backbone's blocks: planted lesions say where, slice labels say whether.

Each place is compared with the two class texts, like the class token. Places of planted lesions must be likened to the
unhealthy one, all places of healthy slices to the healthy one, and the likeliest few places of a slice with a lesion
to the unhealthy one (multiple-instance learning). The last block's class token shall attend to those places.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from engines.contract import Report
from engines.ddpt.compact import Block, CompactBackbone
from engines.ddpt.network import class_row
from engines.ddpt.seen_slices import SeenSlices
from engines.ddpt.settings import Settings
from engines.training import TrainingState, train

SHARES = (1 / 3, 4 / 9)  # of a batch: slices with a lesion, healthy ones; the rest are planted
WEIGHT_DECAY = 0.05
WARM_UP = 0.08
PLANTED_CLASS, HEALTHY_TOP, ATTENTION, PLANTED_PLACES = 0.3, 0.5, 0.1, 2.0  # weights of single terms
LARGEST_STEP = 1.0
MEASURED = 400  # looks whose features are measured before training
FAR_BELOW = -30.0


class Pretrainer:
    """One pretraining run of a backbone, offering `step` to the shared loop."""

    def __init__(
        self,
        settings: Settings,
        backbone: CompactBackbone,
        looks: SeenSlices,
        planted: SeenSlices,
        device: torch.device,
    ) -> None:
        self.settings, self.backbone, self.device = settings, backbone.to(device).train(), device
        backbone.encoder.eval()
        self.looks, self.planted = looks, planted
        self.ill, self.healthy = (looks.labels == value for value in (True, False))
        self.ill, self.healthy = (part.nonzero()[:, 0] for part in (self.ill, self.healthy))
        self.random = torch.Generator().manual_seed(settings.seed)
        self._measure()
        learned = {name: p for name, p in backbone.named_parameters() if not name.startswith("encoder.")}
        self.learned = list(learned.values())
        self.state = TrainingState(
            modules={"backbone": backbone},
            optimisers={
                "backbone": torch.optim.AdamW(self.learned, settings.pretraining_rate, weight_decay=WEIGHT_DECAY)
            },
            random=self.random,
        )

    def run(self, folder: Path, *, resume: bool, report: Report) -> float:
        """Pretrain and freeze the backbone; returns the seconds it took."""
        every, length = self.settings.checkpoint_every, self.settings.pretraining
        train(
            self.state, self.step, length, folder,
            checkpoint_every=every, resume=resume, rate=self._rate, report=report,
        )  # fmt: skip
        self.backbone.eval().requires_grad_(False)
        return self.state.seconds

    def _rate(self, iteration: int) -> float:
        share = iteration / self.settings.pretraining
        return min(1.0, (share + 0.01) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * share))

    def _measure(self) -> None:
        """Mean and deviation of each feature over healthy places."""
        rows = self.healthy[torch.randperm(len(self.healthy), generator=self.random)[:MEASURED]]
        seen, inside, _ = self.looks.take(rows, self.device)
        features = self.backbone.sides(seen)[inside > 0.5]
        self.backbone.get_buffer("mean").copy_(features.mean(0))
        self.backbone.get_buffer("deviation").copy_(features.std(0).clamp(min=1e-3))

    def step(self, iteration: int) -> Mapping[str, float]:
        """One optimisation step on slices with a lesion, healthy ones and planted ones."""
        counts = [max(1, round(share * self.settings.batch)) for share in SHARES]
        counts.append(max(1, self.settings.batch - sum(counts)))
        parts = [self._draw(self.looks, self.ill, counts[0]), self._draw(self.looks, self.healthy, counts[1])]
        parts.append(self._draw(self.planted, torch.arange(len(self.planted)), counts[2]))
        seen, inside, cover = (torch.cat([part[index] for part in parts]) for index in range(3))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            whole, places, attention = likened(self.backbone, seen)
        terms = losses(whole.float(), places.float(), attention.float(), inside > 0.5, cover, counts, self.settings)
        loss = torch.stack(list(terms.values())).sum()
        self.state.optimisers["backbone"].zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.learned, LARGEST_STEP)
        self.state.optimisers["backbone"].step()
        return {name: term.item() for name, term in terms.items()}

    def _draw(self, source: SeenSlices, rows: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        chosen = rows[torch.randint(len(rows), (count,), generator=self.random)]
        seen, inside, cover = source.take(chosen, self.device)
        if torch.rand((), generator=self.random) < 0.5:
            return seen, inside, cover
        side = self.backbone.side
        turned = (part.unflatten(1, (side, side)).flip(2).flatten(1) for part in (inside, cover))
        return self.backbone.mirrored(seen), *turned


def likened(backbone: CompactBackbone, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-odds of the slice (b,) and of each place (b, places), and what the class token attends to (b, places)."""
    tokens = backbone.embed(seen)
    for number in range(backbone.depth - 1):
        tokens = backbone.block(number, tokens)
    last = backbone.blocks[-1]
    assert isinstance(last, Block)
    attention = class_row(last.attention, last.norm1(tokens))[:, 1:]
    tokens = last(tokens)
    features = functional.normalize(backbone.project(tokens), dim=-1)
    logits = backbone.scale * features @ functional.normalize(backbone.texts, dim=-1).T  # (b, 1 + places, 2)
    odds = logits[..., 1] - logits[..., 0]
    return odds[:, 0], odds[:, 1:], attention


def losses(
    whole: Tensor,
    places: Tensor,
    attention: Tensor,
    inside: Tensor,
    cover: Tensor,
    counts: list[int],
    settings: Settings,
) -> dict[str, Tensor]:
    """The terms of pretraining; rows are `counts` slices with a lesion, healthy ones and planted ones."""
    ill, healthy, planted = counts
    truth = torch.ones_like(whole)
    truth[ill : ill + healthy] = 0
    slices = functional.binary_cross_entropy_with_logits(whole, truth, reduction="none")
    known = slices[: ill + healthy].mean() + PLANTED_CLASS * settings.planted * slices[ill + healthy :].mean()
    highest = top_mean(places, inside, settings.top)
    at_health = places[ill : ill + healthy][inside[ill : ill + healthy]]
    planted_inside = inside[-planted:]
    return {
        "slices": known,
        "lesions": functional.softplus(-highest[:ill]).mean(),
        "health": functional.softplus(at_health).mean()
        + HEALTHY_TOP * functional.softplus(highest[ill : ill + healthy]).mean(),
        "planted": PLANTED_PLACES
        * settings.planted
        * functional.binary_cross_entropy_with_logits(
            places[-planted:][planted_inside], cover[-planted:][planted_inside]
        ),
        "attention": ATTENTION * _attention_loss(places, attention, inside, cover, counts),
    }


def _attention_loss(places: Tensor, attention: Tensor, inside: Tensor, cover: Tensor, counts: list[int]) -> Tensor:
    """The class token shall look where a lesion is planted, or where its own slice is likened to one."""
    ill, _, planted = counts
    wanted = torch.cat([places[:ill].detach().sigmoid() * inside[:ill], cover[-planted:] * inside[-planted:]])
    wanted = wanted / wanted.sum(1, keepdim=True).clamp(min=1e-3)
    given = torch.cat([attention[:ill], attention[-planted:]])
    return -(wanted * given.clamp(min=1e-6).log()).sum(1).mean()


def top_mean(places: Tensor, inside: Tensor, share: float) -> Tensor:
    """Mean of the highest share of the places inside the brain: (b, places) -> (b,)."""
    count = (share * inside.sum(1)).clamp(min=1).long()
    ordered = places.masked_fill(~inside, FAR_BELOW).sort(1, descending=True).values
    chosen = torch.arange(places.shape[1], device=places.device)[None] < count[:, None]
    return (ordered * chosen).sum(1) / count
