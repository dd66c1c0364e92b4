"""What the frozen first layers made of every slice, computed once and kept on disk: training never runs them again.

One .npy a volume, mapped, not read, so that a cohort may be larger than memory; a half-written one is never found.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from engines.contract import Report
from engines.ddpt.network import Backbone
from engines.ddpt.planting import planted
from engines.ddpt.settings import Settings
from engines.ddpt.slices import load_prepared, varied
from engines.device import Device, run_chunked
from engines.errors import BadCohort, BadVolume
from engines.samples import Cohort, Sample

CHUNK = {"cpu": 4, "cuda": 64}


@dataclass(frozen=True, slots=True, eq=False)
class SeenSlices:
    """Looks at slices, of all volumes in one row.

    seen: float16 (looks, ...) a volume. inside, cover: float16 (looks, places), share of each place that is brain, and
    that is a planted lesion (0 where none was planted). labels: bool (looks,). where: (volume, look) of each row.
    """

    seen: tuple[NDArray[np.float16], ...]
    inside: Tensor
    cover: Tensor
    labels: Tensor
    where: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """seen, inside and cover of some rows, float32 on the device."""
        parts = [self.seen[volume][look] for volume, look in self.where[rows.numpy()]]
        found = torch.from_numpy(np.stack(parts)).to(device).float()
        return found, self.inside[rows].to(device).float(), self.cover[rows].to(device).float()


@dataclass(frozen=True, slots=True)
class Kind:
    """Which looks: so many versions of each slice; with a planted lesion in the healthy ones, or as they are."""

    versions: int
    plant: bool = False


def seen_slices(
    cohort: Cohort,
    samples: Sequence[Sample],
    kind: Kind,
    backbone: Backbone,
    digest: str,
    settings: Settings,
    folder: Path,
    device: Device,
    report: Report,
) -> SeenSlices:
    """Looks at all slices of the samples, computing those that `folder` lacks. digest: of the backbone's first layers.

    Volumes that show no brain are left out; raises BadCohort when none is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    looks = (settings.crop, settings.turn, settings.grey, settings.margin, settings.seed, backbone.size)
    parts: list[tuple[NDArray[np.float16], ...]] = []
    for number, sample in enumerate(samples):
        report(number, len(samples), "looking at slices")
        # All that a look depends on is in its name, so that none is ever taken for another; the cohort may move.
        name = Path(os.path.relpath(sample.volume, cohort.path.parent)).as_posix()
        facts = (cohort.digest, digest, name, kind, looks)
        key = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
        try:
            if not (folder / f"{key}.npy").exists():
                _compute(sample, kind, backbone, settings, folder / key, device)
        except BadVolume:
            continue
        seen = np.load(folder / f"{key}.npy", mmap_mode="r", allow_pickle=False)
        if len(seen):
            parts.append((seen, *np.load(folder / f"{key}.maps.npy", allow_pickle=False)))
    report(len(samples), len(samples), "looking at slices")
    if not parts:
        raise BadCohort("No slice of the cohort shows a brain.", "Check the volumes.")
    return _together(parts)


def _together(parts: list[tuple[NDArray[np.float16], ...]]) -> SeenSlices:
    maps = [torch.from_numpy(np.concatenate([part[index] for part in parts])) for index in (1, 2, 3)]
    where = [(volume, look) for volume, part in enumerate(parts) for look in range(len(part[0]))]
    return SeenSlices(tuple(part[0] for part in parts), maps[0], maps[1], maps[2][:, 0] > 0.5, np.array(where))


def _compute(sample: Sample, kind: Kind, backbone: Backbone, settings: Settings, path: Path, device: Device) -> None:
    seed = int(path.name[:8], 16)
    random, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    stack, labels = load_prepared(sample, backbone.size, settings)
    keep = ~labels if kind.plant else np.ones(len(labels), bool)
    pictures, inside = torch.from_numpy(stack.pictures[keep]), torch.from_numpy(stack.foreground[keep])
    seen, maps = [], []
    for version in range(kind.versions if len(pictures) else 0):
        shown, brain = pictures, inside  # the first look is the slice as it is
        if version:
            shown, brain = varied(pictures, inside, settings, random, mirror=not backbone.mirrors)
        lesion = torch.zeros_like(brain)
        if kind.plant:
            shown, lesion = planted(shown, brain, rng)
        seen.append(look(backbone, shown, device).half().numpy())
        told = torch.from_numpy(labels[keep] | kind.plant)[:, None].expand(-1, backbone.side**2)
        maps.append(torch.stack([coverage(brain, backbone.side), coverage(lesion, backbone.side), told.float()]))
    places = backbone.side**2
    _save(path.with_name(f"{path.name}.maps.npy"), torch.cat(maps, 1).half().numpy() if maps else _none(3, 0, places))
    _save(path.with_name(f"{path.name}.npy"), np.concatenate(seen) if seen else _none(0, places, 1))


def look(backbone: Backbone, pictures: Tensor, device: Device) -> Tensor:
    """What the frozen first layers make of slices (n, S, S), a few at a time."""

    def work(part: Tensor, where: str) -> Tensor:
        if isinstance(backbone, torch.nn.Module):
            backbone.to(where)
        with torch.no_grad(), torch.autocast(where, torch.bfloat16, enabled=device.precision == "bf16"):
            return backbone.look(part.to(where)).float().cpu()

    return torch.cat(run_chunked(work, pictures, CHUNK[device.name], device).outputs)


def coverage(mask: Tensor, side: int) -> Tensor:
    """Share of each place that is in the mask: (n, S, S) -> (n, side * side)."""
    return functional.adaptive_avg_pool2d(mask.float()[:, None], side)[:, 0].flatten(1)


def _none(*shape: int) -> NDArray[np.float16]:
    return np.zeros(shape, np.float16)


def _save(path: Path, array: NDArray[np.float16]) -> None:
    temporary = path.with_suffix(".writing")
    with temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    temporary.replace(path)
