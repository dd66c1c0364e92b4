"""Which weights a fine-tuning ends with: checkpoints, and straight lines from the old weights to them.

A short way along the line keeps more of the old model (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR
2022, arXiv 2109.01903). Statistics of batch norms stay as they are in a fine-tuning, so nothing has to be counted anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engines.contract import Report, silent
from engines.finetuning import Figures, best_of, judge
from engines.rasalore import folded
from engines.rasalore.losses import dice
from engines.rasalore.settings import Settings
from engines.rasalore.slices import Slices

WAYS = (1.0, 0.75, 0.5, 0.25)  # of the line from the old weights to the learned ones
CHUNK = 16
Weights = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """The weights that were chosen, and for the record the figures of all there were to choose from."""

    weights: dict[str, Tensor]
    facts: dict[str, Any]


@torch.no_grad()
def blended(old: Weights, learned: Weights, way: float) -> dict[str, Tensor]:
    """Weights on the line from `old` (0) to `learned` (1), in half precision as a package stores them.

    So what is measured is what is kept.
    """

    def between(name: str) -> Tensor:
        a, b = old[name], learned[name]
        return torch.lerp(a, b, way).half().to(a.dtype) if a.is_floating_point() else b

    return {name: between(name) for name in old}


def choose(
    network: nn.Module,
    old: Weights,
    checkpoints: Mapping[int, Weights],
    before: Figures,
    settings: Settings,
    apart: Slices,
    automatic: Slices,
    device: torch.device,
    report: Report = silent,
) -> Kept:
    """Measure each checkpoint, shorter ways to it until one obeys all rules, and keep the best of what was measured.

    The best: engines.finetuning.best_of; `network` ends with it. checkpoints: weights by step. network: any of the
    right shape, to try them in.
    """
    tried: list[tuple[int, float]] = []
    found: list[Figures] = []
    for number, step in enumerate(sorted(checkpoints)):
        for way in WAYS:
            report(number, len(checkpoints), "choosing between old and learned weights")
            network.load_state_dict(blended(old, checkpoints[step], way))
            tried.append((step, way))
            found.append(figures(network, settings, apart, automatic, device))
            if judge(before, found[-1]).accepted:
                break
    step, way = tried[best_of(before, found)]
    weights = blended(old, checkpoints[step], way)
    network.load_state_dict(weights)
    table = [{"step": s, "way": w, **asdict(one)} for (s, w), one in zip(tried, found, strict=True)]
    return Kept(weights, {"kept": {"step": step, "way": way}, "candidates": table})


def figures(network: nn.Module, settings: Settings, apart: Slices, automatic: Slices, device: torch.device) -> Figures:
    """Dice on corrected slices kept apart, Dice with the masks of slices nobody corrected, healthy brain marked."""
    replay = automatic[(~automatic.empty) & automatic.core.amax((1, 2, 3)).bool()]
    healthy = automatic[automatic.empty]
    drawn, old = (_dice(probabilities(network, part, device) > settings.threshold, part) for part in (apart, replay))
    marked = probabilities(network, healthy, device) > settings.threshold
    brain = nn.functional.interpolate(healthy.foreground.float(), marked.shape[2:]).sum()
    wrong = float(marked.sum() / brain.clamp(min=1)) if len(healthy) else 0.0
    return Figures(drawn, old, wrong)


@torch.no_grad()
def probabilities(network: nn.Module, slices: Slices, device: torch.device) -> Tensor:
    """Mask probabilities (n, 1, 2S, 2S) inside the brain, on the slices' device."""
    network.eval()
    found = []
    for index in torch.arange(len(slices), device=slices.states.device).split(CHUNK):
        part = slices[index]
        logits = folded.forward(network, part.pictures.float().to(device)).logits  # type: ignore[arg-type]
        inside = nn.functional.interpolate(part.foreground.float().to(device), logits.shape[2:]) > 0.5
        found.append((logits.float().sigmoid() * inside).to(slices.states.device))
    return torch.cat(found) if found else slices.core.float()


def _dice(found: Tensor, slices: Slices) -> float:
    """Mean Dice; a slice that both call empty counts 1."""
    return float(dice(found.float(), slices.core.float()).mean()) if len(slices) else 0.0
