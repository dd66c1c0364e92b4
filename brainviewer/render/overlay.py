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
class Agreement:
    """How many of several runs call a voxel abnormal at the threshold; worked out slice by slice."""

    runs: tuple[Heatmap, ...]
    title: str = "Agreement"


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """Where one run lies higher on the heatmap's scale than another, above the threshold of either."""

    first: Heatmap
    second: Heatmap
    title: str = "Difference"


Overlay = Heatmap | Agreement | Difference


def heatmaps_of(overlay: Overlay | None) -> tuple[Heatmap, ...]:
    """The heatmaps that an overlay is made of."""
    if isinstance(overlay, Agreement):
        return overlay.runs
    if isinstance(overlay, Difference):
        return overlay.first, overlay.second
    return () if overlay is None else (overlay,)


def legend_of(overlay: Agreement | Difference, threshold: float) -> list[tuple[str, str]]:
    """Colour ("#rrggbb") and meaning of what is laid over the volume, in reading order."""
    if isinstance(overlay, Agreement):
        steps = step_colours(len(overlay.runs))
        meant = [f"{n + 1} of {len(steps)} above p {threshold:g}" for n in range(len(steps))]
        return [(_hex(colour), text) for colour, text in zip(steps[::-1], meant[::-1], strict=True)]
    table = diverging_colours()
    return [
        (_hex(table[-1]), f"higher: {overlay.first.title}"),
        (_hex(table[128]), f"alike, above p {threshold:g}"),
        (_hex(table[0]), f"higher: {overlay.second.title}"),
    ]


def _hex(colour: NDArray[np.uint8]) -> str:
    return "#" + bytes(colour.tolist()).hex()


@cache
def step_colours(count: int) -> NDArray[np.uint8]:
    """Colours for 1 .. count runs that agree, uint8 (count, 3): from cool and faint to warm and bright."""
    steps: NDArray[np.uint8] = scale_colours("viridis")[np.linspace(40, 255, count).astype(np.intp)]
    return steps


@cache
def diverging_colours() -> NDArray[np.uint8]:
    """Blue (the second is higher) over grey to orange (the first is), uint8 (256, 3); safe for colour-blind readers."""
    stops = np.array([[60, 130, 255], [170, 205, 255], [225, 225, 225], [255, 200, 130], [255, 130, 20]], float)
    at = np.linspace(0, len(stops) - 1, 256)
    columns = [np.interp(at, np.arange(len(stops)), stops[:, channel]) for channel in range(3)]
    table: NDArray[np.uint8] = np.rint(np.stack(columns, axis=1)).astype(np.uint8)
    return table


def difference_colours(apart: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colour of differences on the heatmap's scale, -1 to 1: uint8 (..., 3)."""
    found: NDArray[np.uint8] = diverging_colours()[np.rint((np.clip(apart, -1, 1) + 1) * 127.5).astype(np.intp)]
    return found


@dataclass(frozen=True, slots=True, eq=False)
class MaskLayer:
    """A mask with its colour. mask: uint8 (i, j, k), 0 outside. colour: "#rrggbb". filled: else its outline only."""

    mask: NDArray[np.uint8]
    colour: str
    filled: bool = True
    rgb: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        digits = self.colour.lstrip("#")
        object.__setattr__(self, "rgb", np.frombuffer(bytes.fromhex(digits), dtype=np.uint8))
        if self.rgb.shape != (3,):
            raise ValueError(f"A colour is written #rrggbb, not {self.colour!r}.")
