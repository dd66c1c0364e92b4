"""From a generator to numbers: restored slices, residual against healthy ones, slice and study scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from engines.contract import Report
from engines.device import Device, run_chunked
from engines.preparation import SliceStack
from engines.sagan.network import Generator
from engines.sagan.patches import restore_grid, restore_overlapping
from engines.sagan.settings import Settings

SPREAD_PX = 4.0  # healthy residuals are pooled over this Gaussian sigma (at 64 pixels), for there are few of them
TOP_SHARE = 0.1  # a study's score is the mean of its highest tenth of slices

Maps = NDArray[np.float32]
Masks = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Restored:
    """Restored slices (n, S, S) in -1..1, attention of the finest gate (n, S, S) in 0..1, and where it ran."""

    pictures: Maps
    attention: Maps
    device: str
    warnings: tuple[str, ...]


def restore_stack(
    generator: Generator, settings: Settings, stack: SliceStack, device: Device, report: Report
) -> Restored:
    """Run the generator over all slices, many in a batch: instance norm couples nothing, so batching is exact."""
    pictures, heights = torch.from_numpy(stack.pictures)[:, None], torch.from_numpy(stack.heights)
    items = torch.cat([pictures.flatten(1), heights[:, None]], 1)  # one row a slice, so that chunks are slices
    # A chunk on the CPU takes a fraction of a second, so that a cancel is heard.
    chunk = max(1, 128 // settings.width) if device.name == "cpu" else 512
    found = run_chunked(
        lambda part, where: _restore_chunk(generator, settings, part, where, device),
        items, chunk, device, report, "restoring slices",
    )  # fmt: skip
    both = torch.cat(found.outputs).numpy()
    return Restored(both[:, 0], both[:, 1], found.device, found.warnings)


def _restore_chunk(generator: Generator, settings: Settings, part: Tensor, where: str, device: Device) -> Tensor:
    generator.to(where)
    pictures, heights = part[:, :-1].reshape(-1, 1, settings.size, settings.size).to(where), part[:, -1].to(where)
    with torch.autocast(where, torch.bfloat16, enabled=where == device.name and device.precision == "bf16"):
        return restore_pictures(generator, settings, pictures, heights).cpu()


@torch.no_grad()
def restore_pictures(generator: nn.Module, settings: Settings, pictures: Tensor, heights: Tensor) -> Tensor:
    """Pictures (n, 1, S, S) -> (n, 2, S, S): what they look like when normal, and the attention of the finest gate."""

    def restore(patches: Tensor, code: Tensor) -> Tensor:
        added, gates = generator(patches, code)
        attention = functional.interpolate(gates[-1].float(), patches.shape[2:], mode="bilinear")
        return torch.cat([torch.tanh(added.float() + patches), attention], 1)

    known = heights if settings.slice_height else None
    if settings.overlap and settings.n_patch == 2:
        return restore_overlapping(restore, pictures, known)
    return restore_grid(restore, pictures, settings.n_patch, known)


@dataclass(frozen=True, slots=True, eq=False)
class HealthyResidual:
    """Mean and standard deviation of the smoothed residual of healthy slices at each pixel: (S, S) each."""

    mean: Maps
    deviation: Maps

    @classmethod
    def unknown(cls, size: int) -> HealthyResidual:
        """No correction: the heatmap is the residual itself."""
        return cls(np.zeros((size, size), np.float32), np.ones((size, size), np.float32))

    @classmethod
    def measured(cls, healthy: Sequence[tuple[Maps, Masks]]) -> HealthyResidual:
        """Pool smoothed residuals and foregrounds (n, S, S) of healthy slices."""
        count = total = squares = np.zeros_like(healthy[0][0][0], dtype=float)
        for change, inside in healthy:
            count = count + inside.sum(0)
            total = total + change.sum(0, dtype=float)
            squares = squares + np.square(change, dtype=float).sum(0)
        sigma = SPREAD_PX * len(count) / 64
        count, total, squares = (ndimage.gaussian_filter(part, sigma) for part in (count, total, squares))
        # Where no healthy slice has foreground, the whole frame's figures serve.
        weight = count + 1e-3 * count.max()
        mean = (total + 1e-3 * count.max() * total.sum() / count.sum()) / weight
        square = (squares + 1e-3 * count.max() * squares.sum() / count.sum()) / weight
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        return cls(mean.astype(np.float32), np.maximum(deviation, 0.2 * deviation.mean() + 1e-6).astype(np.float32))

    def heat(self, change: Maps, inside: Masks) -> Maps:
        """A smoothed residual (n, S, S) in healthy standard deviations, 0 outside the foreground."""
        heat: Maps = np.where(inside, (change - self.mean) / self.deviation, np.float32(0))
        return heat

    def to_arrays(self) -> dict[str, Maps]:
        """Named arrays for calibration.safetensors."""
        return {"sagan.mean": self.mean, "sagan.deviation": self.deviation}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], size: int) -> HealthyResidual:
        """The inverse of to_arrays; without them no correction."""
        mean, deviation = arrays.get("sagan.mean"), arrays.get("sagan.deviation")
        if mean is None or deviation is None or mean.shape != (size, size) or deviation.shape != (size, size):
            return cls.unknown(size)
        return cls(mean, deviation)


def smoothed_residual(stack: SliceStack, restored: Restored, settings: Settings) -> Maps:
    """|x - restored| / 2 inside the foreground (n, S, S), smoothed within it in-plane and over neighbouring slices."""
    order = np.argsort(stack.heights)  # neighbours in the patient, whichever way the slices are counted
    change: Maps = np.abs(stack.pictures - restored.pictures) / 2
    out = np.empty_like(change)
    out[order] = smoothed(change[order], stack.foreground[order], settings, settings.smooth_slices)
    return out


def smoothed(change: Maps, inside: Masks, settings: Settings, slices: float = 0.0) -> Maps:
    """Residuals (n, S, S) blurred within the foreground; slices: sigma over neighbouring ones."""
    weight = inside.astype(np.float32)
    sigma = (slices, settings.smooth_px, settings.smooth_px)
    if not any(sigma):
        return change * weight
    blurred, share = (ndimage.gaussian_filter(part, sigma, mode="constant") for part in (change * weight, weight))
    smooth: Maps = blurred / np.maximum(share, 1e-3) * weight
    return smooth


def heat_and_scores(
    stack: SliceStack, restored: Restored, healthy: HealthyResidual, settings: Settings
) -> tuple[Maps, Maps]:
    """Heat (n, S, S) in healthy standard deviations inside the foreground, and the score of each slice (n,)."""
    heat = healthy.heat(smoothed_residual(stack, restored, settings), stack.foreground)
    change = np.abs(stack.pictures - restored.pictures) / 2
    return heat, slice_scores(heat, change, stack.foreground, settings)


def slice_scores(heat: Maps, change: Maps, inside: Masks, settings: Settings) -> Maps:
    """Scores (n,) of slices with this heat and this residual before smoothing.

    With settings.foreground the mean of the heat over the foreground: healthy slices lie near 0 wherever their tissue
    usually changes much. Without it, the published mean of |x - restored| / 2 over the frame.
    """
    mean_heat = heat.sum((1, 2)) / np.maximum(inside.sum((1, 2)), 1)
    return np.asarray(mean_heat if settings.foreground else change.mean((1, 2)), np.float32)


def study_score(slice_scores: Maps, standardised: NDArray[Any]) -> float:
    """A picture's own score; of a volume the mean of the highest tenth of its height-standardised slice scores.

    The published mean over all slices drowns a focal lesion; a maximum would follow one noisy slice.
    """
    known = np.sort(standardised[np.isfinite(standardised)])[::-1]
    if len(slice_scores) == 1 or not len(known):
        return float(np.nanmax(slice_scores, initial=0))
    return float(known[: max(1, round(TOP_SHARE * len(known)))].mean())
