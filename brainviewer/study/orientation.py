"""Which way the patient lies: letters instead of signs, and whether they may be written at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from engines import Volume

# A second letter is written where the view is turned by more than about 20 degrees.
_SECOND_LETTER = 0.35

# Projections (radiographs, photographs) have no patient axes: they are shown as stored and carry no letters.
_PROJECTIONS = frozenset({"CXR", "CR", "DX", "MG", "XA", "RF", "US", "OP", "XC", "MR2D"})


def is_oriented(volume: Volume) -> bool:
    """True where the affine tells left from right in the patient, not only rows from columns."""
    return volume.calibrated and volume.modality not in _PROJECTIONS


def letters(direction: ArrayLike) -> str:
    """Where a direction (RAS) points in the patient: "L", or "LA" where it is oblique."""
    unit = np.asarray(direction, dtype=np.float64)
    unit = unit / np.linalg.norm(unit)
    names = [pair[0] if value > 0 else pair[1] for pair, value in zip(("RL", "AP", "SI"), unit, strict=True)]
    order = np.argsort(-np.abs(unit), kind="stable")
    second = names[order[1]] if abs(unit[order[1]]) > _SECOND_LETTER else ""
    return str(names[order[0]]) + second


def describe(position_mm: ArrayLike) -> str:
    """A position with letters instead of signs: "R 12.0  A 33.5  S 41.0"."""
    values = np.round(np.asarray(position_mm, dtype=np.float64), 1)
    pairs = zip(("RL", "AP", "SI"), values, strict=True)
    return "  ".join(f"{pair[0] if value >= 0 else pair[1]} {abs(value):.1f}" for pair, value in pairs)
