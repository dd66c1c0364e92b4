"""Pretraining of the compact backbone's blocks: planted lesions say where, slice labels say whether.

Each place is compared with the two class texts, like the class token, first on its own, before any block. Places of
planted lesions must be likened to the unhealthy text, all places of healthy slices to the healthy one, and the few
likeliest places of a slice with a lesion to the unhealthy one (multiple-instance learning). After the blocks it must
say the same again: there each place has heard of the whole slice through attention, and the label of the slice would
colour all of its places. The last block's class token shall attend to the places that were found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
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
        with (
            torch.random.fork_rng(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"),
        ):
            torch.manual_seed(self.settings.seed + iteration)  # dropout knows no generator of its own
            said = likened(self.backbone, seen)
        terms = losses(said, inside > 0.5, cover, counts, self.settings)
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


@dataclass(frozen=True, slots=True, eq=False)
class Likened:
    """Log-odds of a lesion: whole (b,) of the slice; local, places (b, places) of each place before and after blocks.

    attention: (b, places), of the last block's class token.
    """

    whole: Tensor
    local: Tensor
    places: Tensor
    attention: Tensor


def likened(backbone: CompactBackbone, seen: Tensor) -> Likened:
    """What an unprompted backbone says of a batch. seen: what backbone.look gave."""
    tokens = backbone.embed(seen)
    local = log_odds(backbone, tokens[:, 1:])
    for number in range(backbone.depth - 1):
        tokens = backbone.block(number, tokens)
    last = backbone.blocks[-1]
    assert isinstance(last, Block)
    attention = class_row(last.attention, last.norm1(tokens))[:, 1:]
    odds = log_odds(backbone, last(tokens))
    return Likened(odds[:, 0].float(), local.float(), odds[:, 1:].float(), attention.float())


def log_odds(backbone: CompactBackbone, tokens: Tensor) -> Tensor:
    """Tokens (..., width) compared with both class texts: (...)."""
    features = functional.normalize(backbone.project(tokens), dim=-1)
    logits = backbone.scale * features @ functional.normalize(backbone.texts, dim=-1).T
    return logits[..., 1] - logits[..., 0]


def losses(said: Likened, inside: Tensor, cover: Tensor, counts: list[int], settings: Settings) -> dict[str, Tensor]:
    """The terms of pretraining; rows are `counts` slices with a lesion, healthy ones and planted ones."""
    ill, healthy, planted = counts
    truth = torch.ones_like(said.whole)
    truth[ill : ill + healthy] = 0
    slices = functional.binary_cross_entropy_with_logits(said.whole, truth, reduction="none")
    known = slices[: ill + healthy].mean() + PLANTED_CLASS * settings.planted * slices[ill + healthy :].mean()
    highest = top_mean(said.local, inside, settings.top)
    wanted = torch.cat([said.local[:ill].detach().sigmoid(), torch.zeros_like(cover[:healthy]), cover[-planted:]])
    health = slice(ill, ill + healthy)
    at_health = functional.softplus(said.local[health][inside[health]]).mean()
    lesions = functional.binary_cross_entropy_with_logits(said.local[-planted:], cover[-planted:], reduction="none")
    agreed = functional.binary_cross_entropy_with_logits(said.places, wanted, reduction="none")
    return {
        "slices": known,
        "lesions": functional.softplus(-highest[:ill]).mean(),
        "health": at_health + HEALTHY_TOP * functional.softplus(highest[health]).mean(),
        "planted": PLANTED_PLACES * settings.planted * lesions[inside[-planted:]].mean(),
        "places": agreed[inside].mean(),
        "attention": ATTENTION * _attention_loss(said.attention, wanted * inside, counts),
    }


def _attention_loss(given: Tensor, wanted: Tensor, counts: list[int]) -> Tensor:
    """The class token shall look where a lesion is planted, or where a slice with a lesion is likened to one."""
    ill, _, planted = counts
    wanted = torch.cat([wanted[:ill], wanted[-planted:]])
    wanted = wanted / wanted.sum(1, keepdim=True).clamp(min=1e-3)
    given = torch.cat([given[:ill], given[-planted:]])
    return -(wanted * given.clamp(min=1e-6).log()).sum(1).mean()


def top_mean(places: Tensor, inside: Tensor, share: float) -> Tensor:
    """Mean of the highest share of the places inside the brain: (b, places) -> (b,)."""
    count = (share * inside.sum(1)).clamp(min=1).long()
    ordered = places.masked_fill(~inside, FAR_BELOW).sort(1, descending=True).values
    chosen = torch.arange(places.shape[1], device=places.device)[None] < count[:, None]
    return (ordered * chosen).sum(1) / count
