"""The heatmap's colours: healthy percentile -> place on the palette, the same for every image and engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from brainviewer.render.palettes import palette
from brainviewer.study.percentile_scale import scale_position

# The ends of the palettes would look like dark and bright tissue on a grey image, so the scale uses their middle.
_PALETTE_START, _PALETTE_END = 0.25, 0.93


@cache
def scale_colours(name: str) -> NDArray[np.uint8]:
    """Colours of the bar from low to high, uint8 (256, 3)."""
    rows = np.linspace(_PALETTE_START * 255, _PALETTE_END * 255, 256)
    table = palette(name).astype(np.float64)
    columns = [np.interp(rows, np.arange(256), table[:, channel]) for channel in range(3)]
    return np.rint(np.stack(columns, axis=1)).astype(np.uint8)


def colours(percentiles: NDArray[np.float32], name: str) -> NDArray[np.uint8]:
    """Colour of each percentile, uint8 (..., 3)."""
    return scale_colours(name)[np.rint(scale_position(percentiles) * 255).astype(np.intp)]


def blend(picture: NDArray[np.uint8], where: NDArray[np.bool_], paint: NDArray[np.uint8], opacity: float) -> None:
    """Lay colours over a picture in place.

    picture: uint8 (rows, columns, 3). where: bool (rows, columns). paint: uint8 (3,) or one colour for each True.
    """
    under = picture[where].astype(np.float32)
    picture[where] = np.rint(under + (paint - under) * opacity).astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Heatmap:
    """Healthy percentiles on the volume's grid, with the voxels that were scored.

    percentiles: float32 (i, j, k), 0..100. region: bool (i, j, k), or None where all voxels were scored.
    """

    percentiles: NDArray[np.float32]
    region: NDArray[np.bool_] | None = None
    title: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class MaskLayer:
    """A mask with its colour. mask: uint8 (i, j, k), 0 outside. colour: "#rrggbb"."""

    mask: NDArray[np.uint8]
    colour: str
    rgb: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        digits = self.colour.lstrip("#")
        object.__setattr__(self, "rgb", np.frombuffer(bytes.fromhex(digits), dtype=np.uint8))
        if self.rgb.shape != (3,):
            raise ValueError(f"A colour is written #rrggbb, not {self.colour!r}.")
