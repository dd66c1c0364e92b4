"""The slices DDPT learns from, with their weak labels, and how they are shown to it. No mask file is opened here."""

from __future__ import annotations

import random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from engines.contract import Report, silent
from engines.ddpt.settings import Settings
from engines.errors import BadCohort
from engines.files import load_volume
from engines.preparation import FLOOR, TISSUE_LEVEL, SliceStack, prepare_slices
from engines.samples import Cohort, Sample
from engines.volume import Volume

GAMMA, GAIN, SHADING, NOISE = 0.25, 0.12, 0.06, 0.01  # at grey = 1; logarithms for the first two


def prepared(volume: Volume, size: int, settings: Settings, report: Report = silent) -> SliceStack:
    """A volume's slices as the backbone sees them."""
    return prepare_slices(volume, size, margin=settings.margin, report=report)


def labelled(cohort: Cohort, settings: Settings, *, learning: bool = True) -> tuple[list[Sample], list[Sample]]:
    """Samples to learn from, and samples with healthy slices for calibration, by subject.

    Learning needs slice labels (a volume labelled normal has them: all healthy; so has a picture with a label).
    Calibration takes the val split, or a share of the training subjects where there is none. Raises BadCohort where
    one of both classes is missing, but for learning=False.
    """
    train = [sample for sample in cohort.select(split="train").samples if has_labels(sample)]
    val = [sample for sample in cohort.select(split="val").samples if has_labels(sample)]
    if not val:
        subjects = sorted({sample.subject for sample in train})
        random.Random(settings.seed).shuffle(subjects)
        apart = set(subjects[: max(1, round(settings.held_out * len(subjects)))]) if len(subjects) > 1 else set()
        val = [sample for sample in train if sample.subject in apart]
        train = [sample for sample in train if sample.subject not in apart]
    kinds = {label for sample in train for label in _known(sample)}
    if learning and kinds != {False, True}:
        raise BadCohort(
            "The cohort gives DDPT no slices with a lesion or none without one.",
            "Its train split needs slice_labels with both 0 and 1, or volumes labelled normal beside them.",
        )
    return train, val


def has_labels(sample: Sample) -> bool:
    """Whether anything is known about the sample's single slices."""
    return bool(_known(sample))


def _known(sample: Sample) -> set[bool]:
    if sample.label == "normal":
        return {False}
    if sample.slice_labels:
        return {label == "1" for label in sample.slice_labels}
    return {True} if sample.label == "abnormal" and _is_picture(sample) else set()


def _is_picture(sample: Sample) -> bool:
    return sample.volume.suffix.lower() in (".png", ".jpg", ".jpeg")


def load_prepared(sample: Sample, size: int, settings: Settings) -> tuple[SliceStack, NDArray[np.bool_]]:
    """The slices of a labelled sample and whether each shows a lesion (n,).

    Raises BadCohort where the labels lie across the slices.
    """
    stack = prepared(load_volume(sample), size, settings)
    if sample.label == "normal":
        return stack, np.zeros(len(stack.indices), bool)
    if not sample.slice_labels:
        return stack, np.ones(len(stack.indices), bool)
    if stack.axis != 2:
        raise BadCohort(
            f"{sample.volume} is looked at along voxel axis {stack.axis}, but its slice labels are along axis 2.",
            "Store the volume with its slices along the last axis.",
        )
    return stack, np.array([sample.slice_labels[index] == "1" for index in stack.indices])


def varied(
    pictures: Tensor, inside: Tensor, settings: Settings, random: torch.Generator, *, mirror: bool
) -> tuple[Tensor, Tensor]:
    """Another look at each slice: (n, S, S) pictures in -1..1 and foreground, turned, cropped, with other grey levels.

    mirror: half of them also left for right.

    The published crops of 8 % of the picture keep a slice's label even where they cut its lesion away; ours show more.
    """
    n = len(pictures)
    draw = 2 * torch.rand(7, n, generator=random) - 1
    left_right = torch.where(draw[6] > 0, -1.0, 1.0) if mirror else torch.ones(n)
    angle = draw[0] * np.deg2rad(settings.turn)
    least = settings.crop**0.5
    side = least + (1.1 - least) * (draw[1] + 1) / 2  # of the crop, 1.1 = a little smaller than the frame
    room = (1 - side).clamp(min=0.08 if settings.turn else 0.0)
    theta = torch.stack(
        [
            torch.stack([left_right * side * angle.cos(), -side * angle.sin(), room * draw[2]], 1),
            torch.stack([left_right * side * angle.sin(), side * angle.cos(), room * draw[3]], 1),
        ],
        1,
    )
    grid = functional.affine_grid(theta, [n, 1, *pictures.shape[1:]], align_corners=False)
    both = torch.stack([pictures - FLOOR, inside.float()], 1)
    moved = functional.grid_sample(both, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    inside = moved[:, 1] > 0.5
    grey = ((moved[:, 0] + FLOOR + 1) / 2).clamp(min=0)
    strength = settings.grey
    grey = TISSUE_LEVEL * (grey / TISSUE_LEVEL) ** torch.exp(strength * GAMMA * draw[4])[:, None, None]
    grey = grey * torch.exp(strength * GAIN * draw[5])[:, None, None]
    shade = torch.randn(n, 1, 4, 4, generator=random) * strength * SHADING
    grey = grey * (1 + functional.interpolate(shade, pictures.shape[1:], mode="bicubic")[:, 0])
    grey = grey + strength * NOISE * torch.randn(grey.shape, generator=random)
    return framed(grey, inside), inside


def framed(grey: Tensor, inside: Tensor) -> Tensor:
    """Grey levels 0..1 (n, S, S) as the network takes them: -1..1, FLOOR outside the brain."""
    return torch.where(inside, (2 * grey - 1).clamp(FLOOR, -FLOOR), torch.full_like(grey, FLOOR))
