"""From a volume to features of places: slices at a common voxel size, the encoder, means over neighbouring slices."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from engines.blocks.appearance import equal_contrast
from engines.blocks.coarse import Coarse, coarsened
from engines.blocks.patch_features import aggregate, pool_slices
from engines.blocks.slice_encoder import SliceEncoder
from engines.contract import Report, silent
from engines.device import Device, run_chunked
from engines.preparation import Normalisation, SliceStack, prepare_slices
from engines.volume import Volume

FINE, COARSE_LEVEL = 1, 2  # strides 8 and 16
CHUNK = {"cpu": 4, "cuda": 64}  # slices at a time: a cancel is heard within a second, memory stays small


@dataclass(frozen=True, slots=True)
class View:
    """How slices are looked at.

    size: side of the square slices in pixels; side_mm: what they show of a brain. spacing_mm: finer voxels are
    averaged to it. slices: how many are averaged; slice_stride: 1 or `slices`. features: width of the aggregated
    features, 0 = all channels. foreground: only places inside it count. equal_contrast: stretch each volume's grey
    levels (appearance.equal_contrast).
    """

    size: int
    side_mm: float
    spacing_mm: float
    slices: int
    slice_stride: int
    features: int
    margin: float
    normalisation: Normalisation
    foreground: bool
    equal_contrast: bool

    @classmethod
    def of(cls, settings: Any) -> View:
        """The fields of this name of an engine's settings."""
        return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A volume made ready: at its common voxel size, and as square slices."""

    coarse: Coarse
    stack: SliceStack

    @property
    def slice_px(self) -> float:
        """Distance of two slices in pixels; 1 where nobody knows."""
        volume = self.coarse.volume
        if volume.is_picture or not volume.calibrated:
            return 1.0
        return float(volume.spacing_mm[self.stack.axis]) / self.stack.pixel_mm


@dataclass(frozen=True, slots=True, eq=False)
class Slabs:
    """Features (m, C, h, w) of slabs of slices, their heights (m,), and where a cell shows foreground (m, h, w).

    device, warnings: where they were computed.
    """

    features: Tensor
    heights: Tensor
    inside: Tensor
    device: str = "cpu"
    warnings: tuple[str, ...] = ()

    def without_features(self) -> Slabs:
        """What is needed once the places are scored: the features of a cohort would not fit into memory."""
        return replace(self, features=torch.empty(0))

    def rows(self) -> tuple[Tensor, Tensor]:
        """Every place: features (m h w, C) and its row, column and height (m h w, 3)."""
        m, channels, h, w = self.features.shape
        row, col = torch.meshgrid(torch.arange(float(h)), torch.arange(float(w)), indexing="ij")
        place = torch.stack([row.expand(m, h, w), col.expand(m, h, w), self.heights[:, None, None].expand(m, h, w)], -1)
        return self.features.permute(0, 2, 3, 1).reshape(-1, channels), place.reshape(-1, 3)


def look(volume: Volume, view: View, report: Report = silent) -> Seen:
    """The volume's slices as this view wants them; raises BadVolume when there is nothing to see."""
    coarse = coarsened(volume, view.spacing_mm)
    stack = prepare_slices(
        coarse.volume,
        view.size,
        margin=view.margin,
        normalisation=view.normalisation,
        side_mm=view.side_mm,
        report=report,
    )
    return Seen(coarse, equal_contrast(stack) if view.equal_contrast else stack)


def encode(
    encoder: SliceEncoder, stack: SliceStack, view: View, device: Device, report: Report, stride: int | None = None
) -> Slabs:
    """Features of all slabs, a few slices at a time; stride: instead of the view's."""

    def work(part: Tensor, where: str) -> Tensor:
        encoder.to(where)
        with torch.no_grad(), torch.autocast(where, torch.bfloat16, enabled=device.precision == "bf16"):
            maps = encoder(part.to(where))
            return aggregate(maps[FINE], maps[COARSE_LEVEL], view.features).float().cpu()

    done = run_chunked(
        work, torch.from_numpy(stack.pictures), CHUNK[device.name], device, report, "looking at slices"
    )  # fmt: skip
    features = torch.cat(done.outputs)
    stride = stride or view.slice_stride
    inside = cell_coverage(stack.foreground, features.shape[2:])
    pooled = [
        pool_slices(part, view.slices, stride)
        for part in (features, inside[:, None], torch.from_numpy(stack.heights)[:, None, None, None])
    ]
    return Slabs(pooled[0], pooled[2].flatten(), pooled[1][:, 0] > 0.5, done.device, done.warnings)


def cell_coverage(foreground: NDArray[np.bool_], grid: torch.Size) -> Tensor:
    """Share of each cell that is foreground: (n, S, S) -> (n, h, w)."""
    covered: Tensor = functional.adaptive_avg_pool2d(torch.from_numpy(foreground).float(), (grid[0], grid[1]))
    return covered


def portion(report: Report, start: int, stop: int) -> Report:
    """A report that fills start..stop percent of another one."""

    def within(done: int, total: int, text: str) -> None:
        report(start + (stop - start) * done // max(total, 1), 100, text)

    return within
