"""Two readers on the same slices: how far their masks and their verdicts agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainviewer.study.correction import Correction
from brainviewer.study.mask_edit import SliceState

_DECIDED = (SliceState.CONFIRMED, SliceState.CORRECTED, SliceState.REJECTED)


@dataclass(frozen=True, slots=True)
class Agreement:
    """slices: numbers both readers decided. dice: over these slices together; NaN where both masks are empty.

    slice_dice: of each of them, NaN where both are empty. kappa: Cohen's, of the voxels of these slices; NaN where both
    readers say the same everywhere by necessity. verdict_kappa: of "something in it" against "healthy", slice by slice.
    """

    slices: tuple[int, ...]
    dice: float
    slice_dice: tuple[float, ...]
    kappa: float
    verdict_kappa: float


def agreement(one: Correction, other: Correction) -> Agreement:
    """Compare two corrections of one series; interpolated slices do not count as decided."""
    if one.mask.shape != other.mask.shape or one.slice_axis != other.slice_axis:
        raise ValueError("The two corrections lie on different grids.")
    both = np.isin(one.states, _DECIDED) & np.isin(other.states, _DECIDED)
    slices = np.flatnonzero(both)
    first, second = (np.moveaxis(each.mask, each.slice_axis, 0)[slices] > 0 for each in (one, other))
    each = tuple(dice(a, b) for a, b in zip(first, second, strict=True))
    verdicts = [np.asarray(masks.any(axis=(1, 2))) for masks in (first, second)]
    return Agreement(tuple(int(n) for n in slices), dice(first, second), each, kappa(first, second), kappa(*verdicts))


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Twice the overlap by the sum; NaN where both are empty."""
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else float("nan")


def kappa(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Cohen's kappa: agreement beyond chance; NaN where chance alone agrees always (or nothing is compared)."""
    if not a.size:
        return float("nan")
    observed = float((a == b).mean())
    chance = float(a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean()))
    return (observed - chance) / (1 - chance) if chance < 1 else float("nan")
