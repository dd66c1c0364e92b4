"""What SAGAN learns from corrections, keeps in mind beside them, and is judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.contract import Report
from engines.errors import BadCohort
from engines.finetuning import Plan
from engines.preparation import SliceStack, prepare_slices
from engines.sagan.pictures import Pictures, healthy_slices, held_out_samples, prepare, training_sets
from engines.sagan.pseudo_anomaly import shifted_blobs
from engines.sagan.settings import Settings
from engines.tuning import drawn, identity, too_few, untouched

MOST_REPLAYED = 600  # known normal slices
PLANTED_CHANGE = 0.1  # of the grey level (-1..1) from which on a pixel belongs to a planted blob

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """Corrected slices. lesion: (n, 1, S, S), 0 or 1. trust: (n,). subjects: (n,), number of the study."""

    shown: Pictures
    lesion: Tensor
    trust: Tensor
    subjects: Tensor

    def __len__(self) -> int:
        return len(self.trust)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A volume to judge on. wanted: bool (n, S, S). chosen: bool (n,), slices that count; calm: that are healthy."""

    stack: SliceStack
    wanted: Bools
    chosen: Bools
    calm: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Everything a fine-tuning works with.

    learned: of corrections. normal: known normal slices of the training that nobody corrected. To judge on: apart
    (corrected slices), healthy (by subject, never trained on), planted (blobs in those). To look at: taught.
    """

    learned: Learned
    normal: Pictures
    apart: list[Judged]
    healthy: list[tuple[str, SliceStack]]
    planted: list[Judged]
    taught: list[Judged]


def material(plan: Plan, settings: Settings, report: Report) -> Material:
    """Raises BadInput or BadCohort where something is missing."""
    parts, apart, taught, decided = [], [], [], set[bytes]()
    subjects = sorted({one.subject for one in plan.corrected})
    for one, kept in zip(plan.corrected, plan.apart, strict=True):
        stack = prepare_slices(
            one.volume(), settings.size, margin=settings.margin, normalisation=settings.normalisation
        )
        said = drawn(one, kept, stack)
        decided |= {identity(picture) for picture in _half(stack)[said.trust > 0]}
        parts.append(_learned(stack, said.masks, said.trust, subjects.index(one.subject), said.learn))
        ill: Bools = np.any(said.masks, axis=(1, 2))
        if said.learn.any():
            taught.append(Judged(stack, said.masks, said.learn, said.learn & ~ill))
        if said.apart.any():
            apart.append(Judged(stack, said.masks, said.apart & ill, said.apart & ~ill))
    learned = _joined(parts)
    # Without an outline to test on nothing could be told.
    if not len(learned) or not any(one.chosen.any() for one in apart):
        raise too_few()
    normal = _free(training_sets(plan.cohort, settings, report).normal, decided, plan.seed)
    if len(normal) < 2:
        raise BadCohort("The cohort has no known normal slices that nobody corrected.", "Take the training's cohort.")
    healthy = _healthy(plan, settings, decided)
    return Material(learned, normal, apart, healthy, _planted(healthy, plan.seed), taught)


def _half(stack: SliceStack) -> NDArray[np.float16]:
    # Slices of the training are held as float16, so they are known by that.
    return stack.pictures.astype(np.float16)


def _learned(stack: SliceStack, masks: Bools, trust: NDArray[np.float32], subject: int, keep: Bools) -> Learned:
    shown = Pictures(
        torch.from_numpy(stack.pictures[keep])[:, None].half(),
        torch.from_numpy(stack.foreground[keep])[:, None],
        torch.from_numpy(stack.heights[keep]),
    )
    lesion = torch.from_numpy(masks[keep])[:, None].float()
    return Learned(shown, lesion, torch.from_numpy(trust[keep]), torch.full((len(lesion),), subject))


def _joined(parts: Sequence[Learned]) -> Learned:
    shown = [torch.cat([getattr(one.shown, name) for one in parts]) for name in ("pictures", "foreground", "heights")]
    rest = [torch.cat([getattr(one, name) for one in parts]) for name in ("lesion", "trust", "subjects")]
    return Learned(Pictures(*shown), *rest)


def _free(source: Pictures, decided: set[bytes], seed: int) -> Pictures:
    """Slices nobody decided about, MOST_REPLAYED of them."""
    free = np.flatnonzero(untouched(source.pictures[:, 0].numpy(), decided))
    chosen = np.random.default_rng(seed).permutation(free)[:MOST_REPLAYED]
    index = torch.from_numpy(np.sort(chosen))
    return Pictures(source.pictures[index], source.foreground[index], source.heights[index])


def _healthy(plan: Plan, settings: Settings, decided: set[bytes]) -> list[tuple[str, SliceStack]]:
    found = []
    for sample in held_out_samples(plan.cohort, settings):
        stack = prepare(sample, settings).only(healthy_slices(sample))
        free = untouched(_half(stack), decided)
        stack = stack.only({int(index) for index in stack.indices[free]})
        if len(stack.indices):
            found.append((sample.subject, stack))
    if not found:
        raise BadCohort("The cohort has no healthy slice that nobody corrected.", "Label some in the split 'val'.")
    return found


def _planted(healthy: Sequence[tuple[str, SliceStack]], seed: int) -> list[Judged]:
    """Held-out healthy slices with a blob each, as the training invents them."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _, stack in healthy:
        normal, brain = torch.from_numpy(stack.pictures)[:, None], torch.from_numpy(stack.foreground)[:, None]
        blobs = shifted_blobs(normal, generator, brain.float())
        where = (((blobs - normal).abs() > PLANTED_CHANGE) & brain)[:, 0].numpy()
        some: Bools = np.any(where, axis=(1, 2))
        found.append(Judged(replace(stack, pictures=blobs[:, 0].numpy()), where, some, np.zeros_like(some)))
    return found
