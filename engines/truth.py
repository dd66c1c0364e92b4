"""One run against a drawn truth: overlap, ranking, distance and whole lesions, on one volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.findings import TOUCHING
from engines.metrics import auroc, average_precision, dice, oracle_dice

Bools = NDArray[np.bool_]
HIT = 0.1  # a lesion counts as found when this share of it is marked


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one run meets the truth, inside the region it scored. NaN where a figure has no meaning.

    auroc, average_precision: of voxels. prevalence: share of lesion voxels, the AP of a coin. dice: at the healthy
    threshold. oracle_dice, oracle_threshold: the best Dice and the percentile that gives it, chosen with the truth.
    hausdorff95_mm: of the surfaces at the healthy threshold. lesions, found: of the truth, and marked by at least a
    tenth. false_positives: marked places that touch no lesion. slice_auroc: of the slice scores.
    missed_outside: share of the lesion outside the scored region, which no figure above counts.
    """

    auroc: float
    average_precision: float
    prevalence: float
    dice: float
    oracle_dice: float
    oracle_threshold: float
    hausdorff95_mm: float
    lesions: int
    found: int
    false_positives: int
    slice_auroc: float
    missed_outside: float


def judge(
    percentiles: NDArray[np.float32],
    region: Bools,
    slice_scores: NDArray[np.float32],
    slice_axis: int,
    truth: Bools,
    spacing_mm: tuple[float, float, float],
    threshold: float,
) -> Verdict:
    """Measure a run. percentiles, region, truth: (i, j, k) on one grid; threshold: healthy percentile."""
    inside = truth & region
    marked = (percentiles > threshold) & region
    scores, known = percentiles[region], truth[region]
    best, at = oracle_dice(known, scores)
    found, lesions, false = lesionwise(inside, marked)
    others = tuple(axis for axis in range(3) if axis != slice_axis)
    scored = np.isfinite(slice_scores)
    ill: Bools = np.asarray(truth.any(axis=others))
    return Verdict(
        auroc=auroc(known, scores),
        average_precision=average_precision(known, scores),
        prevalence=float(known.mean()) if known.size else float("nan"),
        dice=dice(inside, marked),
        oracle_dice=best,
        oracle_threshold=at,
        hausdorff95_mm=hausdorff95(inside, marked, spacing_mm),
        lesions=lesions,
        found=found,
        false_positives=false,
        slice_auroc=auroc(ill[scored], slice_scores[scored]),
        missed_outside=1 - float(inside.sum() / truth.sum()) if truth.any() else float("nan"),
    )


def lesionwise(truth: Bools, marked: Bools) -> tuple[int, int, int]:
    """Lesions found, lesions there are, and marked places that touch none; connected through corners."""
    from scipy import ndimage

    lesions, count = ndimage.label(truth, TOUCHING)
    places, others = ndimage.label(marked, TOUCHING)
    share = ndimage.mean(marked, lesions, np.arange(1, count + 1)) if count else np.empty(0)
    touching = np.unique(places[truth & marked])
    return int((np.asarray(share) >= HIT).sum()), int(count), int(others - (touching > 0).sum())


def hausdorff95(first: Bools, second: Bools, spacing_mm: tuple[float, float, float]) -> float:
    """The larger of the two directed 95th percentiles of surface distances, in mm; NaN where a mask is empty."""
    from scipy import ndimage

    if not (first.any() and second.any()):
        return float("nan")
    box = ndimage.find_objects(np.logical_or(first, second).astype(np.uint8))[0]
    surfaces: list[Bools] = []
    for mask in (np.pad(first[box], 1), np.pad(second[box], 1)):
        inner: Bools = ndimage.binary_erosion(mask)
        surfaces.append(mask & ~inner)
    apart = [ndimage.distance_transform_edt(~surface, spacing_mm) for surface in surfaces]
    return max(float(np.percentile(apart[1][surfaces[0]], 95)), float(np.percentile(apart[0][surfaces[1]], 95)))
