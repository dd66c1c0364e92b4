"""Features of healthy places, computed once and kept on disk as float16: training never runs the encoder again.

One .npy of features (n, C) and one of places (n, 3) a training volume; both are mapped, not read, so a cohort may be
larger than memory. A half-written file is never found, since each is renamed when whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.blocks.slab_features import Slabs
from engines.contract import Report
from engines.errors import BadCohort, BadVolume


@dataclass(frozen=True, slots=True, eq=False)
class FeatureStore:
    """features: (n, C) float16, places: (n, 3) float32 (row, column, height), one of each a volume."""

    features: tuple[NDArray[np.float16], ...]
    places: tuple[NDArray[np.float32], ...]

    @property
    def width(self) -> int:
        """Number of features."""
        return int(self.features[0].shape[1])

    def __len__(self) -> int:
        return sum(len(part) for part in self.features)

    def draw(self, count: int, subjects: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """`count` random places out of `subjects` random volumes: features (count, C) float32, places (count, 3)."""
        chosen = torch.randint(len(self.features), (subjects,), generator=random, device=random.device).tolist()
        features, places = [], []
        for number, volume in enumerate(chosen):
            own = count // subjects + (number < count % subjects)
            index = torch.randint(len(self.places[volume]), (own,), generator=random, device=random.device)
            rows = index.cpu().numpy()
            features.append(self.features[volume][rows])
            places.append(self.places[volume][rows])
        return torch.from_numpy(np.concatenate(features)).float(), torch.from_numpy(np.concatenate(places))

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each feature over all places: (C,) each."""
        total = np.zeros((2, self.width))
        for part in self.features:
            rows = np.asarray(part, np.float64)
            total += np.stack([rows.sum(0), np.square(rows).sum(0)])
        mean, square = total / max(len(self), 1)
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        return torch.from_numpy(mean).float(), torch.from_numpy(np.maximum(deviation, 1e-6)).float()


def fingerprint(*facts: object) -> str:
    """A name for everything that features depend on."""
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]


def store(
    folder: Path,
    names: Sequence[str],
    compute: Callable[[int], Slabs],
    report: Report,
    *,
    foreground: bool = True,
) -> FeatureStore:
    """The features of all names, computing those that `folder` lacks.

    names: one a volume, saying all that its features depend on. compute(i) -> the slabs of volume i. foreground: keep
    places inside it only. Volumes on which nothing is seen are left out; raises BadCohort when none is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    features, places = [], []
    for number, name in enumerate(names):
        report(number, len(names), "looking at healthy slices")
        path = folder / f"{name}.features.npy"
        beside = folder / f"{name}.places.npy"
        if not path.exists():
            try:
                slabs = compute(number)
            except BadVolume:
                continue
            rows, where = slabs.rows()
            if foreground:
                rows, where = rows[slabs.inside.flatten()], where[slabs.inside.flatten()]
            _save(beside, where.numpy())
            _save(path, rows.half().numpy())
        mapped = np.load(path, mmap_mode="r")
        if len(mapped):
            features.append(mapped)
            places.append(np.load(beside, mmap_mode="r"))
    if not features:
        raise BadCohort(
            "The cohort has no healthy volume to learn from.", "Label some subjects of the split 'train' as normal."
        )
    return FeatureStore(tuple(features), tuple(places))


def _save(path: Path, array: NDArray[np.generic]) -> None:
    temporary = path.with_suffix(".writing")
    with temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    temporary.replace(path)
