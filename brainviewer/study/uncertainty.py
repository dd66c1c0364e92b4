"""Where a reader's time is spent best: slices close to the threshold, and slices about which runs disagree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from brainviewer.study.percentile_scale import tail

# On the scale of the tail (90 -> 99 is one step): how far from the threshold a voxel still counts as close.
CLOSE = 0.3
# Less than this part of a slice is a speck nobody has to decide about.
FAINT = 0.005


def slice_uncertainty(
    percentiles: Sequence[NDArray[np.float32]],
    regions: Sequence[NDArray[np.bool_]],
    slice_percentiles: Sequence[NDArray[np.float32]],
    axis: int,
    threshold: float,
) -> NDArray[np.float32]:
    """How uncertain each slice of a volume is, 0 to 1: float32 (slices,); 0 where nothing was scored.

    percentiles: healthy percentiles (i, j, k) of each run on one grid; regions: voxels each run scored.
    slice_percentiles: of each run, (slices,), NaN where not scored.
    A third each: how much more tissue lies close to the threshold than in healthy scans, as a part of all that is
    marked or close; how close the slice score is; and how little the runs' masks overlap. With a single run the first
    two count half each.
    """
    others = tuple(n for n in range(3) if n != axis)
    low, high = (_percentile(float(tail(threshold)) + step) for step in (-CLOSE, CLOSE))
    masks = [(values > threshold) & region for values, region in zip(percentiles, regions, strict=True)]
    parts = [
        np.mean([_close(p, r, m, low, high, others) for p, r, m in zip(percentiles, regions, masks, strict=True)], 0)
    ]
    parts.append(np.mean([_near(scores, threshold) for scores in slice_percentiles], axis=0))
    if len(masks) > 1:
        union, overlap = np.logical_or.reduce(masks), np.logical_and.reduce(masks)
        together, either = overlap.sum(axis=others), union.sum(axis=others)
        parts.append(np.where(either > 0, 1 - together / np.maximum(either, 1), 0.0))
    scored = np.logical_or.reduce(regions).any(axis=others)
    return np.where(scored, np.mean(parts, axis=0), 0.0).astype(np.float32)


def _close(
    values: NDArray[np.float32],
    region: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    low: float,
    high: float,
    others: tuple[int, ...],
) -> NDArray[np.float64]:
    near = ((values > low) & (values <= high) & region).sum(axis=others)
    scored = region.sum(axis=others)
    # So much of healthy tissue lies there by the meaning of a percentile.
    more = np.maximum(near - scored * (high - low) / 100, 0)
    strong = (mask & (values > high)).sum(axis=others)
    return np.asarray(more / np.maximum(more + strong + FAINT * scored, 1))


def _near(scores: NDArray[np.float32], threshold: float) -> NDArray[np.float64]:
    """1 at the threshold, 0 half a step of the tail away."""
    apart = np.abs(tail(scores) - tail(threshold))
    return np.where(np.isfinite(scores), np.clip(1 - 2 * apart, 0, 1), 0.0)


def _percentile(height: float) -> float:
    return 100 * (1 - 10**-height)


def next_slice(uncertainty: NDArray[np.float32], undecided: NDArray[np.bool_], here: int) -> int | None:
    """The most uncertain slice nobody has decided yet, other than this one; None where none is left."""
    left = np.where(undecided, uncertainty, -1.0)
    left[here] = -1.0
    best = int(np.argmax(left))
    return best if left[best] > 0 else None


def case_uncertainty(score_percentiles: Sequence[float], threshold: float) -> float:
    """How uncertain a study is, 0 to 1, from its runs' study percentiles: close to the threshold, or far apart."""
    known = np.array([score for score in score_percentiles if np.isfinite(score)])
    if not known.size:
        return 0.0
    heights = tail(known)
    near = float(np.clip(1 - np.abs(heights - tail(threshold)) / 2, 0, 1).mean())
    apart = float(np.clip(np.ptp(heights) / 2, 0, 1))
    return near if known.size == 1 else (near + apart) / 2
