"""python -m engines.ddpt.quality STORE COHORT.csv: how good pseudo-masks are, against drawn lesions.

The only file of this room that opens masks. Beside the store stands a plain baseline: a linear classifier on the mean
features of each slice, and its class activation map.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from engines import device as devices
from engines.contract import Report, silent
from engines.ddpt.backbones import backbone_to_train
from engines.ddpt.clip_backbone import ClipBackbone
from engines.ddpt.compact import CompactBackbone
from engines.ddpt.maps import on_pictures
from engines.ddpt.seen_slices import coverage, look
from engines.ddpt.settings import Settings
from engines.ddpt.slices import labelled, load_prepared, prepared
from engines.errors import BadCohort, KnownError
from engines.files import load_mask, load_volume
from engines.metrics import Figure, dice, mean, ranking
from engines.preparation import SliceStack
from engines.pseudo_masks import PseudoMask, PseudoStore
from engines.samples import Cohort, Sample, read_cohort
from engines.terminal import progress

LEVEL = 0.5
Bools = NDArray[np.bool_]
Maps = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What a method says of one volume: map (i, j, k), probability (slices,), region (i, j, k), slice axis."""

    map: Maps
    probability: Maps
    region: Bools
    axis: int

    @classmethod
    def of(cls, stored: PseudoMask) -> Said:
        """A stored pseudo-mask."""
        return cls(stored.map, stored.probability, stored.region, stored.slice_axis)


def measured(samples: Sequence[Sample], say: Callable[[Sample], Said], report: Report = silent) -> list[Figure]:
    """Figures of a method over volumes with drawn lesions: slices, Dice a slice and a volume; intervals by subject.

    A slice with a lesion that was not looked at counts as one without a mask. The volume's mask is gated by the
    probability; the slices' is not, for there the paper takes it as known that the slice shows a lesion.
    """
    slices: list[tuple[Bools, Maps]] = []
    by_slice: list[float] = []
    by_volume: list[float] = []
    gated_voxels: list[tuple[Bools, Maps]] = []
    for done, sample in enumerate(samples):
        report(done, len(samples), sample.subject)
        volume = load_volume(sample)
        truth = load_mask(sample, volume)
        if truth is None or not truth.any():
            continue
        said = say(sample)
        planes: Bools = np.moveaxis(truth, said.axis, 0)
        marks: Maps = np.moveaxis(said.map, said.axis, 0)
        ill: Bools = np.asarray(planes.any((1, 2)))
        known = np.isfinite(said.probability)
        slices.append((ill[known], said.probability[known]))
        by_slice.append(float(np.mean([dice(planes[k], marks[k] > LEVEL) for k in np.flatnonzero(ill)])))
        open_gate = np.nan_to_num(said.probability) >= 0.5
        by_volume.append(dice(planes, (marks > LEVEL) & open_gate[:, None, None]))
        heat = np.moveaxis(marks * np.nan_to_num(said.probability)[:, None, None], 0, said.axis)
        gated_voxels.append((truth[said.region], heat[said.region].astype(np.float32)))
    if not slices:
        raise BadCohort("No volume of these has a drawn lesion.", "Choose another split.")
    report(len(samples), len(samples), "measured")
    return [
        *ranking(slices, note="slice"),
        mean("Dice of a slice with a lesion", by_slice),
        mean("Dice of a volume", by_volume),
        *ranking(gated_voxels, note="voxel"),
    ]


@dataclass(frozen=True, slots=True, eq=False)
class PlainBaseline:
    """A linear classifier on mean ImageNet features of the train split's slices, and its class activation map."""

    backbone: ClipBackbone | CompactBackbone
    scale: StandardScaler
    linear: LogisticRegression

    @classmethod
    def trained(cls, cohort: Cohort, report: Report = silent) -> PlainBaseline:
        """Learn from the slice labels of the cohort's train split."""
        settings = Settings()
        backbone, _, _ = backbone_to_train(settings)
        train = labelled(cohort, settings)[0]
        means, known = [], []
        for done, sample in enumerate(train):
            report(done, len(train), f"baseline: {sample.subject}")
            stack, labels = load_prepared(sample, backbone.size, settings)
            means.append(_mean_features(*_seen(backbone, stack)))
            known.append(labels)
        scale = StandardScaler().fit(np.concatenate(means))
        linear = LogisticRegression(C=0.01, max_iter=2000, class_weight="balanced")
        return cls(backbone, scale, linear.fit(scale.transform(np.concatenate(means)), np.concatenate(known)))

    def say(self, sample: Sample, radius: int) -> Said:
        """Probabilities and activation maps of a volume; radius: of the edge-preserving filter, 0 = off."""
        settings = Settings(guide_px=radius)
        stack = prepared(load_volume(sample), self.backbone.size, settings)
        features, inside = _seen(self.backbone, stack)
        places = ((features - self.scale.mean_) / self.scale.scale_) @ self.linear.coef_[0]
        lowest = np.where(inside > 0.5, places, np.inf).min(1, keepdims=True)
        places = np.where(inside > 0.5, places - lowest, 0)
        maps = torch.from_numpy(places / np.maximum(places.max(1, keepdims=True), 1e-9)).float()
        probability = self.linear.predict_proba(self.scale.transform(_mean_features(features, inside)))[:, 1]
        shown = on_pictures(maps, stack.pictures, stack.foreground, settings)
        per_slice = stack.per_slice(probability.astype(np.float32))
        return Said(stack.to_volume(shown), per_slice, stack.region, stack.axis)


def _seen(backbone: ClipBackbone | CompactBackbone, stack: SliceStack) -> tuple[Floats, Floats]:
    """Features of places without those of the mirror image (n, places, C), and how far each is brain (n, places)."""
    own = look(backbone, torch.from_numpy(stack.pictures), devices.choose("cpu")).chunk(2, -1)[0]
    return own.double().numpy(), coverage(torch.from_numpy(stack.foreground), backbone.side).double().numpy()


def _mean_features(features: Floats, inside: Floats) -> Floats:
    """Mean over the brain: (n, places, C), (n, places) -> (n, C)."""
    found: Floats = (features * inside[..., None]).sum(1) / np.maximum(inside.sum(1), 1e-6)[:, None]
    return found


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 known trouble told in one line, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m engines.ddpt.quality", description=__doc__)
    parser.add_argument("store", type=Path, help="folder of pseudo-masks")
    parser.add_argument("cohort", type=Path, help="CSV file of the cohort")
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--baseline", action="store_true", help="also train and measure the plain baseline")
    chosen = parser.parse_args(arguments)
    try:
        cohort = read_cohort(chosen.cohort)
        store = PseudoStore.open(chosen.store)
        store.check_cohort(cohort)
        samples = cohort.select(split=chosen.split).samples
        with progress() as report:
            rows = [("pseudo-masks", measured(samples, lambda sample: Said.of(store.for_sample(sample)), report))]
            if chosen.baseline:
                baseline = PlainBaseline.trained(cohort, report)
                for radius in (0, Settings().guide_px):
                    name = f"linear, activation map{', fitted to the picture' if radius else ''}"
                    rows.append((name, measured(samples, partial(baseline.say, radius=radius), report)))
    except KnownError as error:
        print(f"quality: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print("| method | figure | value | 95 % interval | subjects |\n|---|---|---|---|---|")  # noqa: T201
    for name, figures in rows:
        for one in figures:
            told = f"{one.note} {one.name}".strip()
            print(f"| {name} | {told} | {one.value:.3f} | {one.low:.3f} to {one.high:.3f} | {one.subjects} |")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
