"""What SAGAN learns from: known normal and unlabeled slices of a cohort, held on the device as float16."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engines.contract import Report
from engines.errors import BadCohort
from engines.files import load_volume
from engines.preparation import SliceStack, prepare_slices
from engines.sagan.settings import Settings
from engines.samples import Cohort, Sample


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Slices: float16 (n, 1, S, S), foreground bool (n, 1, S, S), heights float32 (n,)."""

    pictures: Tensor
    foreground: Tensor
    heights: Tensor

    def __len__(self) -> int:
        return self.pictures.shape[0]

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures and foreground as float32 (b, 1, S, S), heights (b,)."""
        return self.pictures[index].float(), self.foreground[index].float(), self.heights[index]

    def to(self, device: torch.device) -> Pictures:
        """The same on another device."""
        return Pictures(self.pictures.to(device), self.foreground.to(device), self.heights.to(device))


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSets:
    """normal: known normal (B); unlabeled (A); held_out: known normal that is never trained on."""

    normal: Pictures
    unlabeled: Pictures
    held_out: Pictures
    held_out_subjects: tuple[str, ...]


def prepare(sample: Sample, settings: Settings) -> SliceStack:
    """The slices of one sample as this model sees them; raises BadCohort when its labels are along another axis."""
    stack = prepare_slices(
        load_volume(sample), settings.size, margin=settings.margin, normalisation=settings.normalisation
    )
    if sample.slice_labels and stack.axis != 2:
        raise BadCohort(
            f"{sample.volume} is looked at along voxel axis {stack.axis}, but its slice labels are along axis 2.",
            "Store the volume with its slices along the last axis.",
        )
    return stack


def training_sets(cohort: Cohort, settings: Settings, report: Report) -> TrainingSets:
    """Split a cohort's train (and healthy val) subjects into the three sets; raises BadCohort when one stays empty.

    Whole volumes labelled normal are known normal, unlabeled ones are unlabeled. Volumes labelled abnormal count by
    their slice labels: the lesion-free slices of some subjects are known normal, all slices of the others unlabeled.
    With anomaly_ratio >= 0 the unlabeled set is drawn from volumes labelled normal and abnormal instead.
    """
    roles = _roles(cohort, settings)
    slices: dict[str, list[SliceStack]] = {"normal": [], "unlabeled": [], "held_out": []}
    wanted = [(role, sample) for role, samples in roles.items() for sample in samples]
    for done, (role, sample) in enumerate(wanted):
        report(done, len(wanted), f"preparing {sample.subject}")
        stack = prepare(sample, settings)
        slices[role].append(stack if role == "unlabeled" else stack.only(healthy_slices(sample)))
    sets = {role: _gathered(role, found) for role, found in slices.items()}
    subjects = tuple(dict.fromkeys(sample.subject for sample in roles["held_out"]))
    return TrainingSets(sets["normal"], sets["unlabeled"], sets["held_out"], subjects)


def held_out_samples(cohort: Cohort, settings: Settings) -> list[Sample]:
    """The samples that training with these settings keeps apart: healthy ones, or ones with healthy slices."""
    return _roles(cohort, settings)["held_out"]


def healthy_slices(sample: Sample) -> set[int] | None:
    """Numbers of the slices known to be healthy along the last voxel axis; None = the whole sample is."""
    if sample.label == "normal" or not sample.slice_labels:
        return None
    return {k for k, label in enumerate(sample.slice_labels) if label == "0"}


def _roles(cohort: Cohort, settings: Settings) -> dict[str, list[Sample]]:
    rng = random.Random(settings.seed)
    train = cohort.select(split="train")
    normal = [s for s in train.samples if s.label == "normal"]
    unlabeled = [s for s in train.samples if s.label == "unlabeled"]
    abnormal = [s for s in train.samples if s.label == "abnormal"]
    held_out = [s for s in cohort.select(split="val").samples if s.label == "normal"]
    by_slice = [s for s in abnormal if s.slice_labels]
    if by_slice and not normal:
        subjects = sorted({s.subject for s in by_slice})
        rng.shuffle(subjects)
        count = max(1, round(settings.known_normal * len(subjects)))
        apart = subjects[: round(settings.held_out * count)]
        normal = [s for s in by_slice if s.subject in subjects[len(apart) : count]]
        unlabeled += [s for s in by_slice if s.subject in subjects[count:]]
        held_out += [s for s in by_slice if s.subject in apart]
        held_out += [s for s in cohort.select(split="val").samples if s.slice_labels]
    elif settings.anomaly_ratio >= 0 and abnormal:
        normal, unlabeled = _drawn(normal, abnormal, settings.anomaly_ratio, rng)
    else:
        unlabeled += abnormal
    if not held_out:
        subjects = sorted({s.subject for s in normal})
        rng.shuffle(subjects)
        apart = subjects[: max(1, round(settings.held_out * len(subjects)))] if len(subjects) > 1 else []
        held_out = [s for s in normal if s.subject in apart]
        normal = [s for s in normal if s.subject not in apart]
    return {"normal": normal, "unlabeled": unlabeled, "held_out": held_out}


def _drawn(
    normal: list[Sample], abnormal: list[Sample], ratio: float, rng: random.Random
) -> tuple[list[Sample], list[Sample]]:
    """Half of the normal samples stay known normal; as many unlabeled ones are drawn, `ratio` of them abnormal."""
    normal, abnormal = rng.sample(normal, len(normal)), rng.sample(abnormal, len(abnormal))
    known, pool = normal[: len(normal) // 2], normal[len(normal) // 2 :]
    count = len(known)
    from_abnormal = round(count * ratio)
    if from_abnormal > len(abnormal) or count - from_abnormal > len(pool):
        raise BadCohort(
            f"An unlabeled set of {count} with {ratio:.0%} abnormal needs {from_abnormal} abnormal and "
            f"{count - from_abnormal} normal volumes; there are {len(abnormal)} and {len(pool)}.",
            "Choose another anomaly_ratio.",
        )
    return known, abnormal[:from_abnormal] + pool[: count - from_abnormal]


def _gathered(role: str, found: Iterable[SliceStack]) -> Pictures:
    chosen = [(stack.pictures, stack.foreground, stack.heights) for stack in found if len(stack.indices)]
    if not chosen:
        raise BadCohort(
            f"The cohort gives SAGAN no {role.replace('_', '-')} slices.",
            "It needs normal volumes (or slice labels) and unlabeled or abnormal volumes in the train split.",
        )
    pictures, foreground, heights = (np.concatenate(parts) for parts in zip(*chosen, strict=True))
    return Pictures(
        torch.from_numpy(pictures)[:, None].half(), torch.from_numpy(foreground)[:, None], torch.from_numpy(heights)
    )


def augmented(
    pictures: Tensor, foreground: Tensor, generator: torch.Generator, *, mirror: bool
) -> tuple[Tensor, Tensor]:
    """Turned by up to 6 degrees, scaled by up to 6 % and shifted by up to 3 %, each picture on its own."""
    n, device = pictures.shape[0], pictures.device
    draw = 2 * torch.rand(5, n, generator=generator, device=device) - 1
    angle, grow = 0.105 * draw[0], 1 + 0.06 * draw[1]
    flip = torch.where(draw[4] > 0, 1.0, -1.0) if mirror else torch.ones(n, device=device)
    theta = torch.stack(
        [
            torch.stack([flip * grow * angle.cos(), -grow * angle.sin(), 0.06 * draw[2]], 1),
            torch.stack([flip * grow * angle.sin(), grow * angle.cos(), 0.06 * draw[3]], 1),
        ],
        1,
    )
    grid = functional.affine_grid(theta, [n, 1, *pictures.shape[2:]], align_corners=False)
    both = torch.cat([pictures, foreground], 1)
    moved = functional.grid_sample(both, grid, padding_mode="border", align_corners=False)
    return moved[:, :1], (moved[:, 1:] > 0.5).float()
