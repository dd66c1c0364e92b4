"""Readers' corrections as slices to learn from: masks, trust, how much each pixel counts (spec, section g)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from engines.corrections import CONFIRMED, CORRECTED, INTERPOLATED, REJECTED, CorrectedVolume
from engines.errors import BadInput
from engines.finetuning import Plan
from engines.rasalore.pseudo_targets import prepare, small
from engines.rasalore.settings import Settings
from engines.rasalore.slices import TRUST, Slices, State, gathered

STATES = {
    CORRECTED: State.CORRECTED, CONFIRMED: State.CONFIRMED, REJECTED: State.REJECTED, INTERPOLATED: State.INTERPOLATED,
}  # fmt: skip
# Pixels of the published frame of 256: reach of a flipped pixel's extra weight, and of the doubt around an outline.
EDIT_SIGMA, EDIT_WEIGHT, DOUBT = 4.0, 4.0, 5.0
PUBLISHED_SIDE = 256


def corrected_slices(plan: Plan, settings: Settings) -> tuple[Slices, Slices]:
    """Slices to learn from and slices kept apart."""
    learn, apart = [], []
    subjects = sorted({one.subject for one in plan.corrected})
    for one, kept in zip(plan.corrected, plan.apart, strict=True):
        found, indices = as_slices(one, settings, subjects.index(one.subject))
        if not len(found):
            continue
        chosen = torch.from_numpy(kept[indices])
        # Interpolated slices beside a held-out one would tell of it.
        alone = torch.from_numpy(~_beside(kept)[indices]) | (found.states != State.INTERPOLATED)
        learn.append(found[~chosen & alone])
        apart.append(found[chosen])
    if not sum(map(len, learn)) or not sum(map(len, apart)):
        raise BadInput("There are too few corrected slices to learn from and to test on.", "Correct more slices.")
    return gathered(learn), gathered(apart)


def _beside(kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(ndimage.binary_dilation(kept, iterations=2))


def as_slices(one: CorrectedVolume, settings: Settings, subject: int) -> tuple[Slices, NDArray[np.intp]]:
    """The decided and interpolated slices of a correction as the network sees them, and their numbers."""
    stack = prepare(one.volume(), settings)
    if stack.axis != one.slice_axis:
        raise BadInput(
            f"The correction {one.name} was made along another axis than RASALoRE looks along.",
            "Leave it out of this training.",
        )
    wanted = [n for n, index in enumerate(stack.indices) if one.states[index] in STATES]
    order = np.array(wanted, np.intp)
    mask, automatic = (stack.from_volume(values)[order] > 0.5 for values in (one.mask, one.automatic))
    states = [STATES[one.states[index]] for index in stack.indices[order]]
    core = torch.from_numpy(mask)[:, None]
    weight = np.stack(
        [pixel_weight(m, a, state) for m, a, state in zip(mask, automatic, states, strict=True)]
        or [np.zeros(stack.pictures.shape[1:], np.float32)]
    )
    found = Slices(
        torch.from_numpy(small(stack.pictures[order]))[:, None].half(),
        torch.from_numpy(small(stack.foreground[order].astype(np.float32)) > 0.5)[:, None],
        core,
        torch.zeros_like(core),
        torch.tensor([int(state) for state in states], dtype=torch.int64),
        torch.tensor([TRUST[state] for state in states], dtype=torch.float32),
        torch.full((len(order),), subject),
        torch.from_numpy(weight[: len(order)])[:, None].half(),
    )
    return found, stack.indices[order]


def pixel_weight(mask: NDArray[np.bool_], automatic: NDArray[np.bool_], state: State) -> NDArray[np.float32]:
    """How much each pixel (h, w) counts: more where the reader flipped it, nothing near an interpolated outline.

    The Gaussian around flipped pixels is divided by its maximum, so that a reader's thin stroke counts as much as a
    large one.
    """
    scale = mask.shape[0] / PUBLISHED_SIDE
    weight = np.ones(mask.shape, np.float32)
    if state is State.CORRECTED:
        near = ndimage.gaussian_filter((mask ^ automatic).astype(np.float32), EDIT_SIGMA * scale)
        if near.max() > 0:
            weight += EDIT_WEIGHT * near / near.max()
    if state is State.INTERPOLATED and mask.any() and not mask.all():
        inside, outside = (ndimage.distance_transform_edt(part) for part in (mask, ~mask))
        weight[np.maximum(inside, outside) <= max(1.0, DOUBT * scale)] = 0
    return weight
