"""What a search finds in one volume, on the model's grid."""

from __future__ import annotations

from dataclasses import dataclass

from engines.itermask3d.preparation import Grid, Maps
from engines.itermask3d.settings import Settings
from engines.itermask3d.shrinking import Shrunk
from engines.itermask3d.threshold import Decision, Floats


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One volume on the model's grid with its curve, threshold and shrinking masks, and how and where it ran.

    difference: scan less filling under the final mask, smoothed within the brain: float32 (i, j, k). field: shading
    that was taken off before: float32 (i, j, k), 0 outside the brain.
    """

    settings: Settings
    grid: Grid
    curve: Floats
    decision: Decision
    shrunk: Shrunk
    difference: Maps
    field: Maps
    device: str
    warnings: tuple[str, ...]
