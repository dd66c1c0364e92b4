"""From a trained network to numbers: probabilities, point activations and slice scores of a volume's slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from engines.contract import Report, silent
from engines.device import Device, run_chunked
from engines.rasalore.folded import FoldedRasaLore
from engines.rasalore.settings import Settings

Maps = NDArray[np.float32]
Bools = NDArray[np.bool_]

GPU_CHUNK = 64
FLOOR = 0.005  # of each factor of a slice's score
# Measured: a slice of the published size takes 140 MB, and memory goes with width and area.
PUBLISHED_BYTES, PUBLISHED_WIDTH, PUBLISHED_SIZE = 140 << 20, 32, 128
CHUNK_BYTES, MOST_AT_ONCE = 200 << 20, 16
TOP_SLICES = 0.1  # a study's score is the mean of its highest tenth of slices


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """What the network says of n slices: probabilities (n, 2S, 2S), points (n, grid, grid), slice probability (n,)."""

    probability: Maps
    points: Maps
    slice_probability: Maps
    device: str
    warnings: tuple[str, ...]


def predict(
    network: FoldedRasaLore,
    pictures: Maps,
    settings: Settings,
    device: Device,
    report: Report = silent,
    *,
    both_sides: bool = False,
) -> Predicted:
    """Run the network over pictures (n, S, S), a few at a time: memory stays flat however many slices there are.

    both_sides: mean with the mirror image.
    """

    def work(part: Tensor, where: str) -> tuple[Tensor, Tensor, Tensor]:
        network.to(where)
        shown = part[:, None].to(where)
        with torch.autocast(where, torch.bfloat16, enabled=where == device.name and device.precision == "bf16"):
            probability, points, logits = _read_out(network, shown, settings.grid)
            if both_sides:
                other = _read_out(network, shown.flip(3), settings.grid)
                probability = (probability + other[0].flip(2)) / 2
                points, logits = (points + other[1].flip(2)) / 2, (logits + other[2]) / 2
        return probability.float().cpu(), points.float().cpu(), logits.float().sigmoid().cpu()

    chunk = (settings.chunk or slices_at_once(settings)) if device.name == "cpu" else GPU_CHUNK
    found = run_chunked(work, torch.from_numpy(pictures), chunk, device, report, "looking for lesions")
    probability, points, shown = (torch.cat(parts).numpy() for parts in zip(*found.outputs, strict=True))
    return Predicted(probability, points, shown, found.device, found.warnings)


def slices_at_once(settings: Settings) -> int:
    """How many slices a CPU takes in one go, so that a volume of any length stays under a gigabyte."""
    share = settings.width / PUBLISHED_WIDTH * (settings.size / PUBLISHED_SIZE) ** 2
    return max(1, min(MOST_AT_ONCE, int(CHUNK_BYTES / (share * PUBLISHED_BYTES))))


def _read_out(network: FoldedRasaLore, shown: Tensor, grid: int) -> tuple[Tensor, Tensor, Tensor]:
    out = network(shown)
    return out.logits[:, 0].sigmoid(), out.activations.unflatten(1, (grid, grid)), out.slice_logits


def top_mean(probability: Maps, inside: Bools, share: float) -> Maps:
    """Mean of the highest `share` of the brain's pixels of each slice: (n,)."""
    tops = []
    for values, mask in zip(probability, inside, strict=True):
        brain = np.sort(values[mask])[::-1]
        tops.append(brain[: max(1, round(share * len(brain)))].mean() if len(brain) else 0.0)
    return np.array(tops, np.float32)


def along_the_brain(probability: Maps, heights: Maps, sigma: float) -> Maps:
    """Slice probabilities (n,) smoothed over neighbours: a lesion reaches over several slices, a false alarm seldom.

    In logits with a floor, so that a slice sure of its health does not outweigh a neighbour with a lesion.
    """
    kept = np.clip(probability, FLOOR, 1 - FLOOR)
    order = np.argsort(heights)
    logits = np.log(kept / (1 - kept))
    if sigma:
        logits[order] = ndimage.gaussian_filter1d(logits[order], sigma, mode="nearest")
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def slice_scores(top: Maps, shown: Maps) -> Maps:
    """Logarithm of top probability times the odds of the slice probability: (n,).

    Odds, since probabilities near 1 would leave the order of labelled slices to the top probability alone.
    """
    kept = np.clip(shown, FLOOR, 1 - FLOOR)
    return np.asarray(np.log(np.maximum(top, FLOOR)) + np.log(kept / (1 - kept)), np.float32)


def gated(probability: Maps, shown: Maps) -> Maps:
    """Mask probabilities (n, h, w), fading in slices that are held for healthy: nothing changes from P = 1/2 on."""
    faded: Maps = probability * np.minimum(1, 2 * shown)[:, None, None]
    return faded


def shown_mask(probability: Maps, inside: Bools, settings: Settings) -> Bools:
    """The mask at the fixed threshold: inside the brain, without parts of a few pixels."""
    masks = (probability > settings.threshold) & inside
    least = settings.least_part_px * (probability.shape[1] / settings.size) ** 2
    for index in np.flatnonzero(masks.any((1, 2))):
        parts, _ = ndimage.label(masks[index])
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        masks[index] = np.isin(parts, np.flatnonzero(sizes >= least))
    return masks


def study_score(slice_scores: NDArray[Any], standardised: NDArray[Any]) -> float:
    """A picture's own score; of a volume the mean of the highest tenth of its height-standardised slice scores."""
    known = np.sort(standardised[np.isfinite(standardised)])[::-1]
    if len(slice_scores) == 1 or not len(known):
        return float(np.nanmax(slice_scores))
    return float(known[: max(1, round(TOP_SLICES * len(known)))].mean())
