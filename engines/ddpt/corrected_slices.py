"""What DDPT learns from corrections, keeps in mind beside them, and is judged on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.contract import Report
from engines.ddpt.network import Backbone
from engines.ddpt.planting import planted
from engines.ddpt.seen_slices import coverage, look
from engines.ddpt.settings import Settings
from engines.ddpt.slices import labelled, load_prepared, prepared
from engines.device import Device
from engines.errors import BadCohort, BadVolume
from engines.finetuning import Plan
from engines.preparation import SliceStack
from engines.samples import Sample
from engines.tuning import drawn, identity, too_few, untouched

MOST_SUBJECTS = 16  # of the training that are replayed: their looks stay in memory
JUDGED_SUBJECTS = 4
MOST_PLANTED = 60  # slices with a planted lesion to judge on

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Slices to learn from.

    seen: float16 (n, ...), what backbone.look gave. inside, lesion: (n, places), share of each place that is brain, and
    that the mask covers. labels: bool (n,), whether a lesion shows. trust: (n,). subjects: (n,), number of the study.
    """

    seen: Tensor
    inside: Tensor
    lesion: Tensor
    labels: Tensor
    trust: Tensor
    subjects: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor) -> Rows:
        return Rows(*(part[index] for part in self._parts))

    @property
    def _parts(self) -> tuple[Tensor, ...]:
        return self.seen, self.inside, self.lesion, self.labels, self.trust, self.subjects

    def to(self, device: torch.device) -> Rows:
        """The same on another device, float32."""
        return Rows(*(part.to(device).float() if part.is_floating_point() else part.to(device) for part in self._parts))

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """All rows one after the other."""
        return cls(*(torch.cat(same) for same in zip(*(one._parts for one in parts), strict=True)))


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A volume whose masks are looked at.

    seen: of all its slices. wanted: bool (n, S, S). chosen: bool (n,), slices that count. gated: slices that look
    healthy have no mask, as when detecting; else all are known to show a lesion.
    """

    stack: SliceStack
    seen: Tensor
    wanted: Bools
    chosen: Bools
    gated: bool = True


@dataclass(slots=True)
class Material:
    """What there is to learn from and to judge on.

    learned: of corrections. replay, healthy: slices nobody corrected, with a lesion and without. To judge on: apart
    (corrected slices), planted (lesions invented in healthy slices), calm (healthy slices). To look at: taught.
    """

    learned: list[Rows] = field(default_factory=list)
    replay: list[Rows] = field(default_factory=list)
    healthy: list[Rows] = field(default_factory=list)
    apart: list[Judged] = field(default_factory=list)
    taught: list[Judged] = field(default_factory=list)
    planted: list[Judged] = field(default_factory=list)
    calm: list[Judged] = field(default_factory=list)


def material(plan: Plan, settings: Settings, backbone: Backbone, device: Device, report: Report) -> Material:
    """Everything a fine-tuning works with; raises BadInput or BadCohort where something is missing."""
    found, decided = Material(), set[bytes]()
    for number, (one, kept) in enumerate(zip(plan.corrected, plan.apart, strict=True)):
        report(number, len(plan.corrected), "looking at corrections")
        stack = prepared(one.volume(), backbone.size, settings)
        said = drawn(one, kept, stack)
        seen = look(backbone, torch.from_numpy(stack.pictures), device).half()
        decided |= {identity(picture) for picture in stack.pictures[said.trust > 0]}
        labels: Bools = np.any(said.masks, axis=(1, 2))
        subject = sorted({each.subject for each in plan.corrected}).index(one.subject)
        found.learned.append(_rows(stack, seen, said.masks, labels, said.trust, subject, said.learn, backbone.side))
        if said.learn.any():
            found.taught.append(Judged(stack, seen, said.masks, said.learn))
        if said.apart.any():
            found.apart.append(Judged(stack, seen, said.masks, said.apart))
    if not sum(map(len, found.learned)) or not found.apart:
        raise too_few()
    train, judged = _subjects(plan, settings)
    for number, sample in enumerate([*train, *judged]):
        report(number, len(train) + len(judged), "looking at slices nobody corrected")
        try:
            _take(sample, number, number >= len(train), found, decided, settings, backbone, device)
        except BadVolume:
            continue
    if not found.planted:
        raise BadCohort("The cohort has no healthy slice that nobody corrected.", "Label some in the split 'val'.")
    return found


def _subjects(plan: Plan, settings: Settings) -> tuple[list[Sample], list[Sample]]:
    """Samples to replay, and samples to judge on."""
    train, held_out = labelled(plan.cohort, settings, learning=False)
    picked = []
    for samples, most in ((train, MOST_SUBJECTS), (held_out, JUDGED_SUBJECTS)):
        subjects = sorted({sample.subject for sample in samples})
        random.Random(plan.seed).shuffle(subjects)
        picked.append([sample for sample in samples if sample.subject in subjects[:most]])
    return picked[0], picked[1]


def _take(
    sample: Sample,
    number: int,
    judged: bool,
    found: Material,
    decided: set[bytes],
    settings: Settings,
    backbone: Backbone,
    device: Device,
) -> None:
    stack, labels = load_prepared(sample, backbone.size, settings)
    free = untouched(stack.pictures, decided)
    seen = look(backbone, torch.from_numpy(stack.pictures), device).half()
    nothing = np.zeros(stack.pictures.shape, bool)
    if not judged:
        trust = np.ones(len(labels), np.float32)
        rows = _rows(stack, seen, nothing, labels, trust, number, free, backbone.side)
        found.replay.append(rows[rows.labels])
        found.healthy.append(rows[~rows.labels])
        return
    calm = free & ~labels
    if not calm.any():
        return
    found.calm.append(Judged(stack, seen, nothing, calm))
    room = MOST_PLANTED - sum(int(one.chosen.sum()) for one in found.planted)
    some = stack.only({int(index) for index in stack.indices[np.flatnonzero(calm)[:room]]})
    if len(some.indices):
        brain = torch.from_numpy(some.foreground)
        pictures, lesions = planted(torch.from_numpy(some.pictures), brain, np.random.default_rng(number))
        some, where = replace(some, pictures=pictures.numpy()), lesions.numpy()
        looks = look(backbone, pictures, device).half()
        found.planted.append(Judged(some, looks, where, np.any(where, axis=(1, 2)), gated=False))


def _rows(
    stack: SliceStack,
    seen: Tensor,
    masks: Bools,
    labels: Bools,
    trust: NDArray[np.float32],
    subject: int,
    keep: Bools,
    side: int,
) -> Rows:
    inside, lesion = (coverage(torch.from_numpy(part[keep]), side) for part in (stack.foreground, masks))
    known, sure = torch.from_numpy(labels[keep]), torch.from_numpy(trust[keep])
    return Rows(seen[torch.from_numpy(keep)], inside, lesion, known, sure, torch.full((len(known),), subject))
