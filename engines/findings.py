"""Findings: the separate places where a heatmap lies above the healthy threshold, as a reader would list them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]

# Voxels that touch by a corner belong together: a thin lesion that crosses slices obliquely stays one.
TOUCHING = np.ones((3, 3, 3), np.bool_)
LEAST_ML = 0.1  # a ball of 6 mm
LEAST_VOXELS = 9  # where the voxel size is unknown
MIDLINE_MM = 3.0
SHARED = 0.1  # another engine sees a finding too when it marks this share of its voxels
MOST = 200  # of one run, the largest: nobody reads more, and a threshold set far too low gives thousands


@dataclass(frozen=True, slots=True)
class Finding:
    """One connected place above the threshold.

    run: number of the run it belongs to. volume_ml: None where the voxel size is unknown. peak: highest healthy
    percentile. peak_mm, centroid_mm: RAS+ mm. side: of the middle of the scored region, "left", "right" or "midline";
    "" where left is unknown.
    seen_by: numbers of the other runs that mark a part of it.
    """

    run: int
    voxels: int
    volume_ml: float | None
    peak: float
    peak_mm: tuple[float, float, float]
    centroid_mm: tuple[float, float, float]
    side: str
    seen_by: tuple[int, ...] = ()


def findings(
    percentiles: Sequence[NDArray[np.float32]],
    regions: Sequence[Bools],
    affine: NDArray[np.float64],
    threshold: float,
    *,
    calibrated: bool = True,
    oriented: bool = True,
    least_ml: float = LEAST_ML,
) -> list[Finding]:
    """Findings of every run on one grid, run by run, the largest first.

    percentiles: healthy percentiles (i, j, k) of each run; regions: the voxels it scored. Smaller places than
    least_ml (LEAST_VOXELS where the voxel size is unknown) are left out.
    """
    from scipy import ndimage

    masks = [(values > threshold) & region for values, region in zip(percentiles, regions, strict=True)]
    voxel_ml = abs(float(np.linalg.det(affine[:3, :3]))) / 1000 if calibrated else None
    least = LEAST_VOXELS if voxel_ml is None else max(1, round(least_ml / voxel_ml))
    found: list[Finding] = []
    for run, mask in enumerate(masks):
        # The origin of a scan is the magnet's middle; the head may lie beside it.
        middle_mm = _in_mm(np.argwhere(regions[run]).mean(0), affine)[0] if mask.any() else 0.0
        labels, count = ndimage.label(mask, TOUCHING)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        large = [label for label in np.argsort(-sizes[1:], kind="stable") + 1 if sizes[label] >= least][:MOST]
        boxes = ndimage.find_objects(labels)
        for label in large:
            box = boxes[label - 1]
            inside = labels[box] == label
            seen = tuple(
                other
                for other, theirs in enumerate(masks)
                if other != run and theirs[box][inside].sum() >= SHARED * sizes[label]
            )
            place = _places(percentiles[run][box], inside, box, affine)
            side = _side(place["centroid_mm"][0] - middle_mm) if oriented else ""
            ml = None if voxel_ml is None else float(sizes[label] * voxel_ml)
            found.append(Finding(run, int(sizes[label]), ml, side=side, seen_by=seen, **place))
    return found


def label_map(mask: Bools, found: Sequence[Finding], affine: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Which finding each voxel of one run belongs to: 1 for the first, 0 for none; at most 254 findings.

    mask: bool (i, j, k), the voxels the findings were made from.
    """
    from scipy import ndimage

    labels, count = ndimage.label(mask, TOUCHING)
    number = np.zeros(count + 1, np.uint8)
    to_voxel = np.linalg.inv(affine)
    for place, finding in enumerate(found[:254]):
        at = np.rint(to_voxel[:3, :3] @ np.array(finding.peak_mm) + to_voxel[:3, 3]).astype(int)
        number[labels[tuple(at)]] = place + 1
    number[0] = 0
    named: NDArray[np.uint8] = number[labels]
    return named


def _places(values: NDArray[np.float32], inside: Bools, box: tuple[slice, ...], affine: Any) -> dict[str, Any]:
    at = np.argwhere(inside) + [part.start for part in box]
    own = values[inside]
    peak_mm, centroid_mm = _in_mm(at[own.argmax()], affine), _in_mm(at.mean(0), affine)
    return {"peak": float(own.max()), "peak_mm": peak_mm, "centroid_mm": centroid_mm}


def _in_mm(voxel: NDArray[Any], affine: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = affine[:3, :3] @ voxel + affine[:3, 3]
    return float(x), float(y), float(z)


def _side(towards_right_mm: float) -> str:
    if abs(towards_right_mm) <= MIDLINE_MM:
        return "midline"
    return "right" if towards_right_mm > 0 else "left"
