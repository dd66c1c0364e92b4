"""Features of healthy places, computed once and kept on disk as float16: training never runs the encoder again.

One .npy of features (n, C) and one of places (n, 3) a training volume; both are mapped, not read, so a cohort may be
larger than memory. A half-written file is never found, since each is renamed when whole.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.blocks.appearance import changed_appearance
from engines.blocks.slab_features import Slabs, View, encode, look
from engines.blocks.slice_encoder import SliceEncoder
from engines.contract import Report, silent
from engines.device import Device
from engines.errors import BadCohort, BadVolume
from engines.files import load_volume
from engines.samples import Cohort, Sample


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
        subjects = min(subjects, len(self.features))
        chosen = torch.randperm(len(self.features), generator=random)[:subjects].tolist()
        features, places = [], []
        for number, volume in enumerate(chosen):
            own = count // subjects + (number < count % subjects)
            rows = torch.randint(len(self.places[volume]), (own,), generator=random).numpy()
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


def healthy_features(
    cohort: Cohort,
    samples: list[Sample],
    views: int,
    encoder: SliceEncoder,
    view: View,
    folder: Path,
    device: Device,
    report: Report,
) -> FeatureStore:
    """The features of all samples, computing those that `folder` lacks.

    views: copies of each with changed appearance that are kept as well. Samples on which nothing is seen are left out;
    raises BadCohort when none is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # All that features depend on is in a file's name, so that none is ever taken for another.
    common = (cohort.digest, network_digest(encoder), view)
    features, places = [], []
    jobs = [(sample, copy) for sample in samples for copy in range(1 + views)]
    for number, (sample, copy) in enumerate(jobs):
        report(number, len(jobs), "looking at healthy slices")
        name = hashlib.sha256(repr((*common, sample.volume, copy)).encode()).hexdigest()[:16]
        path, beside = folder / f"{name}.features.npy", folder / f"{name}.places.npy"
        if not path.exists():
            try:
                stack = look(load_volume(sample), view).stack
            except BadVolume:
                continue
            stack = changed_appearance(stack, seed=number) if copy else stack
            # Separate slabs: neighbouring ones share slices, and would say the same thing thrice.
            rows, where = _kept(encode(encoder, stack, view, device, silent, stride=view.slices), view.foreground)
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


def network_digest(network: nn.Module) -> str:
    """SHA-256 over all weights."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _kept(slabs: Slabs, foreground: bool) -> tuple[Tensor, Tensor]:
    rows, where = slabs.rows()
    inside = slabs.inside.flatten()
    return (rows[inside], where[inside]) if foreground else (rows, where)


def _save(path: Path, array: NDArray[np.generic]) -> None:
    temporary = path.with_suffix(".writing")
    with temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    temporary.replace(path)
