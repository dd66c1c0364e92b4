"""From raw scores of places to a heatmap and scores: what is usual at each place, smoothing, slice and study scores.

Shared by the engines that score features; `raw` is higher for the less usual.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from engines.blocks.patch_features import slabs_to_slices
from engines.blocks.slab_features import Seen, Slabs, View
from engines.calibration import Calibration, slice_heights
from engines.errors import BadModel
from engines.healthy import HealthyScores

PLACE = "place"  # the name of an engine's main score in its calibration
LEVELS = 24  # heights at which the usual score is kept
SPREAD = (1.5, 1.5, 1.5)  # Gaussian sigma (levels, cells, cells): a dozen subjects say little about a single place
PRIOR = 2.0  # subjects' worth of the whole brain's figures mixed into every place
ONE_SIGMA_BELOW = 0.1587  # share of a normal distribution below -1
TOP_SHARE = 0.1  # a study's score is the mean of its highest tenth of slices

Maps = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class PlaceScale:
    """Mean and deviation of raw scores of healthy subjects: (levels, h, w) each, by height, row and column."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def unknown(cls, grid: tuple[int, int]) -> PlaceScale:
        """No correction."""
        return cls(torch.zeros(LEVELS, *grid), torch.ones(LEVELS, *grid))

    @classmethod
    def measured(cls, healthy: Sequence[tuple[Slabs, Tensor]]) -> PlaceScale:
        """Pool the raw scores of healthy subjects; where there are none, those of the whole brain serve."""
        grid = healthy[0][1].shape[1:]
        sums = np.zeros((3, LEVELS, *grid))
        for slabs, raw in healthy:
            level = (slabs.heights * (LEVELS - 1)).round().long().numpy()
            weight = slabs.inside.numpy().astype(float)
            values = raw.double().numpy()
            for part, addend in zip(sums, (weight, weight * values, weight * values**2), strict=True):
                np.add.at(part, level, addend)
        overall = sums.sum((1, 2, 3))[:, None, None, None] / max(sums[0].sum(), 1)
        # The kernel's peak turns the prior from subjects into smoothed counts.
        count, total, squares = (
            ndimage.gaussian_filter(part, SPREAD, mode="constant") + PRIOR * 0.02 * share
            for part, share in zip(sums, overall, strict=True)
        )
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
        floor = 0.2 * float(deviation.mean()) + 1e-6
        return cls(torch.from_numpy(mean).float(), torch.from_numpy(np.maximum(deviation, floor)).float())

    def standardised(self, slabs: Slabs, raw: Tensor) -> Tensor:
        """Raw scores (m, h, w) in healthy standard deviations at the same place."""
        place = slabs.heights * (LEVELS - 1)
        low = place.floor().long().clamp(0, LEVELS - 2)
        share = (place - low)[:, None, None]
        mean, deviation = (part[low] * (1 - share) + part[low + 1] * share for part in (self.mean, self.deviation))
        return (raw - mean) / deviation

    def to_arrays(self, name: str = PLACE) -> dict[str, NDArray[np.float32]]:
        """Named arrays for calibration.safetensors."""
        return {f"{name}.mean": self.mean.numpy(), f"{name}.deviation": self.deviation.numpy()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.float32]], name: str = PLACE) -> PlaceScale:
        """The inverse of to_arrays; raises BadModel where they are missing."""
        try:
            return cls(torch.from_numpy(arrays[f"{name}.mean"]), torch.from_numpy(arrays[f"{name}.deviation"]))
        except KeyError as error:
            raise BadModel("The model's calibration lacks its places.", "Train or add the model again.") from error


def relative(slabs: Slabs, standardised: Tensor) -> Tensor:
    """Scores (m, h, w) moved and scaled so that the volume's own lower half is that of a standard normal.

    Another scanner raises the score of every place; a lesion raises those of a minority. Only volumes whose scores are
    wider than usual are scaled.
    """
    inside = standardised[slabs.inside]
    if not len(inside):
        return standardised
    low, median = inside.quantile(torch.tensor([ONE_SIGMA_BELOW, 0.5])).tolist()
    moved: Tensor = (standardised - median) / max(median - low, 1.0)
    return moved


@dataclass(frozen=True, slots=True, eq=False)
class Heat:
    """Heat of the prepared slices (n, S, S), 0 outside the foreground, and the score of each slice (n,)."""

    maps: Maps
    slice_scores: Maps


def heat_of(seen: Seen, standardised: Tensor, view: View, smooth_px: float, slice_share: float) -> Heat:
    """Scores of places (m, h, w) to every slice and pixel, smoothed within the foreground.

    A slice's score is the mean of its highest slice_share of pixels: a maximum would follow one noisy place.
    """
    stack = seen.stack
    slices = slabs_to_slices(standardised, len(stack.pictures), view.slices, view.slice_stride)
    size = stack.pictures.shape[1:]
    grown = functional.interpolate(slices[:, None], size, mode="bilinear", align_corners=False)[:, 0].numpy()
    inside = stack.foreground.astype(np.float32)
    # About as far across slices as within them; pictures have no neighbours.
    sigma = (smooth_px / seen.slice_px if len(slices) > 1 else 0.0, smooth_px, smooth_px)
    blurred = ndimage.gaussian_filter(grown * inside, sigma, mode="constant", truncate=3)
    weight = ndimage.gaussian_filter(inside, sigma, mode="constant", truncate=3)
    maps = np.where(stack.foreground, blurred / np.maximum(weight, 1e-3), 0).astype(np.float32)
    scores = [top_mean(heat[mask], slice_share) for heat, mask in zip(maps, stack.foreground, strict=True)]
    return Heat(maps, np.array(scores, np.float32))


def study_score(slice_scores: Maps, standardised: NDArray[np.floating]) -> float:
    """A picture's own score; of a volume the mean of the highest tenth of its height-standardised slice scores."""
    known = standardised[np.isfinite(standardised)]
    if len(slice_scores) == 1 or not len(known):
        return float(np.nanmax(slice_scores, initial=0))
    return top_mean(known, TOP_SHARE)


def scored_region(seen: Seen) -> NDArray[np.bool_]:
    """The foreground of the slices that were looked at, on the coarse grid."""
    stack = seen.stack
    looked_at = np.zeros(stack.slices, bool)
    looked_at[stack.indices] = True
    shape = [1, 1, 1]
    shape[stack.axis] = stack.slices
    scored: NDArray[np.bool_] = stack.region & looked_at.reshape(shape)
    return scored


def calibrated(seen: Sequence[tuple[str, Seen]], heats: Sequence[Heat]) -> Calibration:
    """The healthy percentiles of heatmap, slices and studies; seen: subject and volume each."""
    calibration: Calibration | None = None
    # Twice, since a study's score is made of slice scores that are standardised by the first pass.
    for _ in range(2):
        scores = HealthyScores()
        for (subject, one), heat in zip(seen, heats, strict=True):
            region = scored_region(one)
            per_slice = one.stack.per_slice(heat.slice_scores)
            volume = one.coarse.volume
            heights = slice_heights(one.stack.region, volume.affine, volume.slice_axis)
            known = calibration.slices.standardised(per_slice, heights) if calibration else per_slice
            values = one.stack.to_volume(heat.maps)[region]
            scores.add(subject, values, per_slice, heights, study_score(per_slice, known))
        calibration = scores.build()
    assert calibration is not None
    return calibration


def top_mean(values: NDArray[np.floating], share: float) -> float:
    """Mean of the highest share of the values; of the highest one where the share is less than that."""
    count = max(1, round(share * len(values)))
    return float(np.partition(values, len(values) - count)[-count:].mean()) if len(values) else 0.0
