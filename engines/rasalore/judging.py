"""What a fine-tuning is judged by: masks on slices kept apart, on slices nobody corrected, and on healthy ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engines.finetuning import Figures
from engines.rasalore import folded
from engines.rasalore.losses import dice
from engines.rasalore.settings import Settings
from engines.rasalore.slices import Slices

CHUNK = 16


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
