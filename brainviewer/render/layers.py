"""One slice as the reader sees it: grey values through the window, then masks and heatmap on top. numpy only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainviewer.render.geometry import PlaneGeometry
from brainviewer.render.overlay import (
    Agreement,
    Difference,
    Heatmap,
    MaskLayer,
    Overlay,
    blend,
    colours,
    difference_colours,
    step_colours,
)
from brainviewer.study.percentile_scale import scale_position, tail
from engines import Volume

_MASK_OPACITY = 0.22
Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Look:
    """The display settings that change a slice's pixels; equal looks give equal pictures."""

    window: float
    level: float
    invert: bool = False
    heatmap: bool = True
    palette: str = "inferno"
    opacity: float = 0.6
    threshold: float = 99.0
    contour: bool = False


@dataclass(slots=True)
class Layers:
    """Everything that lies on one grid: the volume, what is laid over it, its masks."""

    volume: Volume
    overlay: Overlay | None = None
    masks: dict[str, MaskLayer] = field(default_factory=dict)


def take(voxels: NDArray[Any], geometry: PlaneGeometry, index: int, pool: int = 1, how: str = "mean") -> NDArray[Any]:
    """Slice `index` as (up, across) or (up, across, channel), C-contiguous; row 0 is voxel 0 of the up axis.

    pool: join blocks of this many voxels a side, where a screen pixel covers that many; "mean" or "max".
    """
    at: list[int | slice] = [slice(None)] * voxels.ndim
    at[geometry.slices] = index
    found = voxels[tuple(at)]
    if geometry.across < geometry.up:
        found = found.swapaxes(0, 1)
    if pool > 1:
        rows, columns = (size // pool for size in found.shape[:2])
        found = found[: rows * pool, : columns * pool]
        blocks = found.reshape(rows, pool, columns, pool, *found.shape[2:])
        found = blocks.mean(axis=(1, 3)) if how == "mean" else blocks.max(axis=(1, 3))
    return np.ascontiguousarray(found)


def grey(values: NDArray[np.float32], look: Look) -> NDArray[np.uint8]:
    """Grey values through the window: uint8 (rows, columns, 3); NaN is black."""
    low, width = look.level - look.window / 2, max(look.window, 1e-12)
    shown = np.clip((np.nan_to_num(values, nan=low, posinf=low + width, neginf=low) - low) * (255.0 / width), 0, 255)
    shown = np.rint(shown).astype(np.uint8)
    if look.invert:
        shown = 255 - shown
    if shown.ndim == 3 and shown.shape[2] in (3, 4):
        return np.ascontiguousarray(shown[..., :3])
    if shown.ndim == 3:
        shown = shown[..., 0]
    return np.repeat(shown[:, :, np.newaxis], 3, axis=2)


class SliceLayers:
    """The slices of one view through all layers; keeps what the last picture needed."""

    def __init__(self, layers: Layers, geometry: PlaneGeometry) -> None:
        self._layers = layers
        self._geometry = geometry
        self._cut: dict[object, NDArray[Any]] = {}
        self._cut_of: tuple[int, int] = (-1, 0)

    def forget(self) -> None:
        """Voxels have changed in place: cut the slice again."""
        self._cut_of = (-1, 0)

    def _slice(self, name: object, voxels: NDArray[Any], index: int, pool: int, how: Literal["mean", "max"]) -> Any:
        if self._cut_of != (index, pool):
            self._cut.clear()
            self._cut_of = (index, pool)
        if name not in self._cut:
            self._cut[name] = take(voxels, self._geometry, index, pool, how)
        return self._cut[name]

    def picture(self, index: int, look: Look, pool: int = 1) -> NDArray[np.uint8]:
        """Slice `index` with all its filled layers: uint8 (up, across, 3)."""
        picture = grey(self._slice("volume", self._layers.volume.voxels, index, pool, "mean"), look)
        for name, layer in self._layers.masks.items():
            if not layer.filled:
                continue
            inside = self._slice(("mask", name), layer.mask, index, pool, "max") > 0
            blend(picture, inside, layer.rgb, _MASK_OPACITY)
        overlay = self._layers.overlay
        if look.heatmap and isinstance(overlay, Agreement):
            self._agreement(picture, overlay, index, look, pool)
        elif look.heatmap and isinstance(overlay, Difference):
            self._difference(picture, overlay, index, look, pool)
        elif look.heatmap and isinstance(overlay, Heatmap) and not look.contour:
            percentiles = self.percentiles(overlay, index, pool)
            above = percentiles > look.threshold
            blend(picture, above, colours(percentiles[above], look.palette), look.opacity)
        return picture

    def _agreement(self, picture: Picture, overlay: Agreement, index: int, look: Look, pool: int) -> None:
        count = np.sum([self.percentiles(run, index, pool) > look.threshold for run in overlay.runs], axis=0)
        some = count > 0
        blend(picture, some, step_colours(len(overlay.runs))[count[some] - 1], look.opacity)

    def _difference(self, picture: Picture, overlay: Difference, index: int, look: Look, pool: int) -> None:
        first, second = (self.percentiles(run, index, pool) for run in (overlay.first, overlay.second))
        some = np.maximum(first, second) > look.threshold
        apart = scale_position(first[some]) - scale_position(second[some])
        blend(picture, some, difference_colours(apart), look.opacity)

    def percentiles(self, heatmap: Heatmap, index: int, pool: int = 1) -> NDArray[np.float32]:
        """A heatmap's slice, -1 where nothing was scored."""
        # Small hot spots must survive on a large picture seen from afar, hence the maximum of each block.
        name = id(heatmap)
        found: NDArray[np.float32] = self._slice(("heatmap", name), heatmap.percentiles, index, pool, "max")
        if heatmap.region is None:
            return found
        scored = self._slice(("region", name), heatmap.region, index, pool, "max")
        shown: NDArray[np.float32] = np.where(scored, found, np.float32(-1))
        return shown

    def field(self, name: str | None, index: int) -> NDArray[np.float32]:
        """What is contoured: a mask's 0/1 slice by name, or the heatmap's tail (None), float32 (up, across)."""
        overlay = self._layers.overlay
        if name is None and isinstance(overlay, Heatmap):
            return tail(np.maximum(self.percentiles(overlay, index), 0))
        if name is None:
            raise ValueError("There is no heatmap.")
        inside: NDArray[np.uint8] = self._slice(("mask", name), self._layers.masks[name].mask, index, 1, "max")
        return (inside > 0).astype(np.float32)
