"""Training slices from a cohort: pictures, slice labels and pseudo-masks. Masks drawn by hand are never opened."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from engines.contract import Report, silent
from engines.errors import BadCohort
from engines.files import load_volume
from engines.preparation import TISSUE_LEVEL, SliceStack, prepare_slices
from engines.pseudo_masks import PseudoMask, PseudoStore
from engines.rasalore.appearance import lesion_probability
from engines.rasalore.outline import outlined
from engines.rasalore.settings import Settings
from engines.rasalore.slices import TRUST, Slices, State, gathered
from engines.samples import Cohort, Sample
from engines.volume import Volume

Maps = NDArray[np.float32]
Bools = NDArray[np.bool_]

MAP_GAIN = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One volume with its slice labels: slices from low to high, labels bool (n,), DDPT's pseudo-mask if at hand."""

    sample: Sample
    pictures: Maps
    foreground: Bools
    heights: Maps
    labels: Bools
    map: Maps | None = None
    mask: Bools | None = None
    refined: Bools | None = None

    @property
    def grey(self) -> Maps:
        """Brightness over the tissue's median, 0 outside the brain."""
        return np.where(self.foreground, (self.pictures + 1) / 2 / TISSUE_LEVEL, 0).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSets:
    """Slices to learn from and for choosing the checkpoint; subjects: names behind their numbers; the volumes."""

    train: Slices
    held_out: Slices
    subjects: tuple[str, ...]
    volumes: tuple[Prepared, ...]


def prepare(volume: Volume, settings: Settings, report: Report = silent) -> SliceStack:
    """Slices at the masks' resolution, twice the network's."""
    return prepare_slices(volume, 2 * settings.size, margin=settings.margin, report=report)


def small(pictures: Maps) -> Maps:
    """(n, 2S, 2S) -> (n, S, S), what the network sees: means of 2 x 2 pixels."""
    n, side, _ = pictures.shape
    out: Maps = pictures.reshape(n, side // 2, 2, side // 2, 2).mean((2, 4), dtype=np.float32)
    return out


def slice_labels(sample: Sample, stack: SliceStack) -> Bools | None:
    """Which prepared slices show a lesion by their weak label; None where nobody said.

    Raises BadCohort when the labels are along another axis than the slices.
    """
    if sample.label == "normal":
        return np.zeros(len(stack.indices), bool)
    if not sample.slice_labels:
        return None
    if stack.axis != 2:
        raise BadCohort(
            f"{sample.volume} is looked at along voxel axis {stack.axis}, but its slice labels are along axis 2.",
            "Store the volume with its slices along the last axis.",
        )
    return np.array([letter == "1" for letter in sample.slice_labels], bool)[stack.indices]


def roles(cohort: Cohort, settings: Settings) -> tuple[list[Sample], list[Sample]]:
    """Samples to learn from and samples kept apart, by subject; raises BadCohort where no slice is labelled.

    Kept apart is the val split; where it shows no lesion, a share of the training subjects with lesions too.
    """
    known = [s for s in cohort.samples if s.label == "normal" or s.slice_labels]
    train = [s for s in known if s.split == "train"]
    apart = [s for s in known if s.split == "val"]
    ill = sorted({s.subject for s in train if "1" in s.slice_labels})
    if not ill:
        raise BadCohort(
            "No training volume has a slice labelled 1.", "RASALoRE needs slice_labels in the cohort's train split."
        )
    if not any("1" in s.slice_labels for s in apart) and len(ill) > 1:
        random.Random(settings.seed).shuffle(ill)
        chosen = set(ill[: max(1, round(settings.held_out * len(ill)))])
        apart += [s for s in train if s.subject in chosen]
        train = [s for s in train if s.subject not in chosen]
    return train, apart


def training_sets(cohort: Cohort, settings: Settings, report: Report = silent) -> TrainingSets:
    """Prepare every volume with weak labels and give its slices masks."""
    samples = roles(cohort, settings)
    store = PseudoStore.open(Path(settings.pseudo_masks)) if settings.pseudo_masks else None
    flat = [sample for part in samples for sample in part]
    prepared = []
    for done, sample in enumerate(flat):
        report(done, len(flat), f"preparing {sample.subject}")
        prepared.append(prepared_sample(sample, settings, store))
    masks = pseudo_masks(prepared, settings, report)
    subjects = tuple(dict.fromkeys(sample.subject for sample in flat))
    sets = [
        as_slices(one, core, rim, subjects.index(one.sample.subject))
        for one, (core, rim) in zip(prepared, masks, strict=True)
    ]
    count = len(samples[0])
    train = gathered(sets[:count])
    held_out = gathered(sets[count:]) if sets[count:] else train
    return TrainingSets(train, held_out, subjects, tuple(prepared[:count]))


def prepared_sample(sample: Sample, settings: Settings, store: PseudoStore | None) -> Prepared:
    """One volume, its weak labels and what DDPT said of it."""
    stack = prepare(load_volume(sample), settings)
    labels = slice_labels(sample, stack)
    assert labels is not None
    order = np.argsort(stack.heights)
    seen: dict[str, NDArray[np.float32] | Bools | None] = {}
    if store is not None and labels.any():
        found = store.for_sample(sample)
        seen = {"map": stack.from_volume(found.map)[order], **_binary(stack, found, order)}
    return Prepared(
        sample,
        stack.pictures[order],
        stack.foreground[order],
        stack.heights[order],
        labels[order],
        **seen,  # type: ignore[arg-type]
    )


def _binary(stack: SliceStack, found: PseudoMask, order: NDArray[np.intp]) -> dict[str, Bools | None]:
    refined = None if found.refined is None else stack.from_volume(found.refined)[order] > 0.5
    return {"mask": stack.from_volume(found.mask)[order] > 0.5, "refined": refined}


def pseudo_masks(prepared: list[Prepared], settings: Settings, report: Report = silent) -> list[tuple[Bools, Bools]]:
    """Core and rim masks (n, 2S, 2S) of each volume, empty in slices without a lesion.

    "coarse": DDPT's mask and its refined mask, or the outline of DDPT's map where no MedSAM took part. "outlined", and
    wherever there is no DDPT: the lesion's look (appearance.py), weighed with DDPT's map, gives mask and outline.
    """
    published = settings.targets == "coarse" and any(one.map is not None for one in prepared)
    if published:
        likely = [np.zeros_like(one.pictures) if one.map is None else one.map for one in prepared]
    else:
        likely = appearances(prepared, settings, report)
    found = []
    for one, probability in zip(prepared, likely, strict=True):
        outline = outlined(probability, one.grey, one.foreground, one.labels)
        shown = one.labels[:, None, None]
        if settings.targets == "outlined":
            found.append((outline, outline))
        elif published and one.mask is not None:
            found.append((one.mask & shown, (outline if one.refined is None else one.refined) & shown))
        else:
            found.append(((probability > 0.5) & one.foreground & shown, outline))
    return found


def appearances(prepared: list[Prepared], settings: Settings, report: Report = silent) -> list[Maps]:
    """P(lesion) by the look of each pixel, (n, 2S, 2S) a volume; DDPT's map, where there is one, weighs it."""
    found = lesion_probability(
        [one.pictures for one in prepared],
        [one.foreground for one in prepared],
        [one.heights for one in prepared],
        [one.labels for one in prepared],
        [one.sample.subject for one in prepared],
        settings.seed,
        report,
        trees=settings.trees,
    )
    likely = [_enlarged(maps, one.pictures.shape[1]) for maps, one in zip(found, prepared, strict=True)]
    return [maps if one.map is None else with_map(maps, one.map) for maps, one in zip(likely, prepared, strict=True)]


def with_map(likely: Maps, seen: Maps) -> Maps:
    """Mean of the look's P(lesion) and DDPT's map (n, 2S, 2S): bright tissue far from what DDPT sees falls below 1/2.

    A map reaches 1 at one place of a slice only, so two thirds of it count as certain.
    """
    both: Maps = (likely + np.minimum(MAP_GAIN * seen, 1)) / 2
    return both


def _enlarged(maps: Maps, side: int) -> Maps:
    return torch.nn.functional.interpolate(torch.from_numpy(maps)[:, None], (side, side), mode="bilinear")[:, 0].numpy()


def as_slices(one: Prepared, core: Bools, rim: Bools, subject: int) -> Slices:
    """One volume for the trainer; a labelled slice that found no mask teaches nothing about masks (trust 0)."""
    states = torch.from_numpy(np.where(one.labels, State.AUTO, State.HEALTHY))
    trust = torch.tensor([TRUST[State(int(state))] for state in states], dtype=torch.float32)
    trust[torch.from_numpy(one.labels & ~core.any((1, 2)))] = 0.0
    return Slices(
        torch.from_numpy(small(one.pictures))[:, None].half(),
        torch.from_numpy(small(one.foreground.astype(np.float32)) > 0.5)[:, None],
        torch.from_numpy(core)[:, None],
        torch.from_numpy(rim)[:, None],
        states,
        trust,
        torch.full((len(states),), subject),
    )
