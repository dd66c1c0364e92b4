"""Colour tables for heatmaps, read from resources/palettes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parents[2] / "resources" / "palettes"

# Perceptually uniform, safe for colour-blind readers. The first is the default.
PALETTES = ("inferno", "magma", "viridis", "cividis")
# Rainbows draw contours that are not there; kept only to compare with figures of older papers.
LEGACY = ("turbo",)


@cache
def palette(name: str) -> NDArray[np.uint8]:
    """Colours from low to high, uint8 (256, 3)."""
    if name not in PALETTES + LEGACY:
        raise ValueError(f"There is no palette {name!r}, only {', '.join(PALETTES + LEGACY)}.")
    table = np.loadtxt(FOLDER / f"{name}.csv", delimiter=",", dtype=np.uint8)
    table.setflags(write=False)
    return table
