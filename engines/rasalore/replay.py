"""What a model must not forget while it learns from corrections: which automatic masks are still believed, and how far.

Two things hold the old model: the training's pseudo-masks, trusted as far as a slowly following teacher agrees with
them (spec, section g), and the old model's own probabilities on the same slices (distillation). The second is not in
the spec: pseudo-masks alone, with a quarter of the trust, did not keep the model from leaving them.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.rasalore import folded
from engines.rasalore.losses import DIMS, dice
from engines.rasalore.slices import Slices, State

TRUST, LEAST_AGREEMENT = 0.25, 0.2
DISAGREE = 0.3  # Dice of a reader's mask and a pseudo-mask below which the pseudo-mask is wrong


def untouched(automatic: Slices, decided: Slices) -> Slices:
    """The cohort's slices without those a reader decided, which are known by their pictures.

    Where a reader drew two neighbouring slices quite unlike their pseudo-masks, the subject's other pseudo-masks are
    not believed either. automatic: the slices of a subject from low to high.
    """
    known = {_identity(picture): n for n, picture in enumerate(decided.pictures)}
    found = [known.get(_identity(picture)) for picture in automatic.pictures]
    seen = torch.tensor([n is not None for n in found], dtype=torch.bool)
    wrong = torch.zeros_like(seen)
    for place, n in enumerate(found):
        redrawn = n is not None and int(decided.states[n]) in (State.CORRECTED, State.REJECTED)
        if redrawn and automatic.states[place] == State.AUTO:
            both = decided.core[n : n + 1].float(), automatic.core[place : place + 1].float()  # type: ignore[operator]
            wrong[place] = bool(dice(*both) < DISAGREE)
    beside = wrong[1:] & wrong[:-1] & (automatic.subjects[1:] == automatic.subjects[:-1])
    doubted = torch.isin(automatic.subjects, automatic.subjects[1:][beside])
    return automatic[~seen & ~(doubted & (automatic.states == State.AUTO))]


def _identity(picture: Tensor) -> bytes:
    return picture.cpu().numpy().tobytes()


@torch.no_grad()
def trusted(batch: Slices, teacher: nn.Module) -> Slices:
    """A batch in which automatic masks count as far as the teacher agrees with them, a quarter at most."""
    automatic = batch.states == State.AUTO
    if not bool(automatic.any()):
        return batch
    core = batch.core[automatic].float()
    p = folded.forward(teacher, batch.pictures[automatic]).logits.float().sigmoid()  # type: ignore[arg-type]
    trust = batch.trust.clone()
    trust[automatic] = TRUST * dice((p > 0.5).float(), core).clamp(LEAST_AGREEMENT, 1.0)
    return replace(batch, trust=trust)


def drift(logits: Tensor, before: Tensor) -> Tensor:
    """How far probabilities (n, 1, h, w) have left the old model's, both as logits: (n,), 0 where nothing changed.

    Squared distance over squared size, which weighs a small lesion as much as a large one, and Kullback-Leibler
    divergence a pixel. Dice would not do: with soft targets its best answer is not the target itself.
    """
    p, q = logits.sigmoid(), before.sigmoid()
    size = (p.square() + q.square()).sum(DIMS).clamp(min=1)
    entropy = functional.binary_cross_entropy_with_logits
    divergence = entropy(logits, q, reduction="none") - entropy(before, q, reduction="none")
    return (p - q).square().sum(DIMS) / size + divergence.mean(DIMS)
