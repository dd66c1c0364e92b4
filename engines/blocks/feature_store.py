"""Features of places, computed once and kept on disk as float16: training never runs the encoder again.

One .npy of features (n, C) and one of places (n, 3) a training volume; both are mapped, not read, so a cohort may be
larger than memory. A half-written file is never found, since each is renamed when whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.blocks.appearance import changed_appearance
from engines.blocks.patch_features import pool_slices
from engines.blocks.planted_lesion import PLANTER, planted
from engines.blocks.slab_features import Seen, View, cell_coverage, encode, look
from engines.blocks.slice_encoder import SliceEncoder
from engines.contract import Report, silent
from engines.device import Device
from engines.errors import BadCohort, BadVolume
from engines.files import load_volume
from engines.samples import Cohort, Sample

Version = str
"""A volume "plain", "changed" (as another scanner might show it), or "lesion N": only the places of a planted one."""

MOSTLY = 0.6  # share of a cell that must be lesion


@dataclass(frozen=True, slots=True, eq=False)
class FeatureStore:
    """features: (n, C) float16, places: (n, 3) float32 (row, column, height), one of each a volume."""

    features: tuple[NDArray[np.float16], ...]
    places: tuple[NDArray[np.float32], ...]

    @property
    def width(self) -> int:
        """Number of features."""
        return int(self.features[0].shape[1])

    def __add__(self, other: FeatureStore) -> FeatureStore:
        return FeatureStore(self.features + other.features, self.places + other.places)

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


def stored_features(
    cohort: Cohort,
    samples: Sequence[Sample],
    versions: Sequence[Version],
    encoder: SliceEncoder,
    view: View,
    folder: Path,
    device: Device,
    report: Report,
) -> dict[Version, FeatureStore]:
    """The features of all samples, a store for each version, computing those that `folder` lacks.

    Samples on which nothing is seen are left out; raises BadCohort when none is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # All that features depend on is in a file's name, so that none is ever taken for another.
    common = (cohort.digest, network_digest(encoder), view)
    found = {version: FeatureStore((), ()) for version in versions}
    for number, sample in enumerate(samples):
        report(number, len(samples), "looking at slices")
        names = [_name(*common, sample.volume, _told(one)) for one in versions]
        missing = [pair for pair in zip(versions, names, strict=True) if not (folder / f"{pair[1]}.npy").exists()]
        try:
            seen = look(load_volume(sample), view) if missing else None
        except BadVolume:
            continue
        for version, name in missing:
            assert seen is not None
            rows, where = _seen_as(version, seen, int(name[:8], 16), encoder, view, device)
            _save(folder / f"{name}.places.npy", where.numpy())
            _save(folder / f"{name}.npy", rows.half().numpy())
        for version, name in zip(versions, names, strict=True):
            mapped = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            if len(mapped):
                places = np.load(folder / f"{name}.places.npy", mmap_mode="r", allow_pickle=False)
                found[version] += FeatureStore((mapped,), (places,))
    if versions[0] == "plain" and not len(found["plain"]):
        raise BadCohort(
            "The cohort has no healthy volume to learn from.", "Label some subjects of the split 'train' as normal."
        )
    return found


def _name(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _told(version: Version) -> str:
    """Lesions depend on how they are planted too."""
    return f"{version}, planter {PLANTER}" if version.startswith("lesion") else version


def network_digest(network: nn.Module) -> str:
    """SHA-256 over all weights."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _seen_as(
    version: Version, seen: Seen, seed: int, encoder: SliceEncoder, view: View, device: Device
) -> tuple[Tensor, Tensor]:
    """Features and places of one version of a volume: separate slabs, since neighbouring ones share slices."""
    stack = seen.stack
    lesion = None
    if version.startswith("lesion"):
        stack, lesion = planted(stack, seen.slice_px, seed)
    if version == "changed" or (lesion is not None and seed % 2):
        stack = changed_appearance(stack, seed)
    if lesion is not None and lesion.any():
        shown = lesion.any((1, 2))
        stack, lesion = stack.only(set(stack.indices[shown].tolist())), lesion[shown]
    slabs = encode(encoder, stack, view, device, silent, stride=view.slices)
    rows, where = slabs.rows()
    keep = slabs.inside if view.foreground else torch.ones_like(slabs.inside)
    if lesion is not None:
        covered = cell_coverage(lesion, slabs.inside.shape[1:])
        keep = keep & (pool_slices(covered[:, None], view.slices, view.slices)[:, 0] > MOSTLY)
    return rows[keep.flatten()], where[keep.flatten()]


def _save(path: Path, array: NDArray[np.generic]) -> None:
    temporary = path.with_suffix(".writing")
    with temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    temporary.replace(path)
