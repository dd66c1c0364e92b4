"""Larger steps of a correction, on a slice or a block of the mask. Run in a worker: scipy takes its time to load.

Every function takes a mask, bool (i, j, k) - a slice is one voxel thick along one axis - and returns another one of
the same shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
# Voxels that touch by a corner belong together, as in the list of findings.
_TOUCHING = np.ones((3, 3, 3), bool)


def run(name: str, mask: NDArray[np.uint8], options: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Carry out an operation by its name, for the worker."""
    found: Bools = OPERATIONS[name](mask > 0, **options)
    return found.astype(np.uint8)


def fill(mask: Bools) -> Bools:
    """Close holes; in a slice these are rings' insides, in a block only what is enclosed on all sides."""
    from scipy import ndimage

    flat = [axis for axis, size in enumerate(mask.shape) if size == 1]
    if not flat:
        return np.asarray(ndimage.binary_fill_holes(mask))
    thin = mask.squeeze(axis=flat[0])
    return np.expand_dims(np.asarray(ndimage.binary_fill_holes(thin)), flat[0])


def remove_island(mask: Bools, seed: Sequence[int]) -> Bools:
    """Without the connected part at (or next to) a voxel."""
    return mask & ~_island(mask, seed)


def keep_island(mask: Bools, seed: Sequence[int]) -> Bools:
    """Only the connected part at (or next to) a voxel."""
    return _island(mask, seed)


def _island(mask: Bools, seed: Sequence[int]) -> Bools:
    from scipy import ndimage

    labels, count = ndimage.label(mask, _TOUCHING)
    if not count:
        return mask.copy()
    label = labels[tuple(seed)]
    if not label:
        inside = np.argwhere(mask)
        nearest = inside[((inside - np.asarray(seed)) ** 2).sum(axis=1).argmin()]
        label = labels[tuple(nearest)]
    return np.asarray(labels == label)


def grow(mask: Bools, radius_mm: float, spacing_mm: Sequence[float]) -> Bools:
    """Larger by a margin all around."""
    if not mask.any():
        return mask.copy()
    return np.asarray(_outside_mm(mask, spacing_mm) <= radius_mm)


def shrink(mask: Bools, radius_mm: float, spacing_mm: Sequence[float]) -> Bools:
    """Smaller by a margin all around; the border of the volume does not eat."""
    if mask.all():
        return mask.copy()
    return np.asarray(_outside_mm(~mask, spacing_mm) > radius_mm)


def _outside_mm(mask: Bools, spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """Distance (mm) of every voxel from the nearest one inside."""
    from scipy import ndimage

    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=tuple(spacing_mm)))


def smooth(mask: Bools, radius_mm: float, spacing_mm: Sequence[float]) -> Bools:
    """Rounder: where a Gaussian of this width finds more inside than outside."""
    from scipy import ndimage

    sigma = [radius_mm / mm if size > 1 else 0.0 for mm, size in zip(spacing_mm, mask.shape, strict=True)]
    blurred = ndimage.gaussian_filter(mask.astype(np.float32), sigma, mode="nearest")
    return np.asarray(blurred > 0.5)


def interpolate(mask: Bools, axis: int, spacing_mm: Sequence[float]) -> Bools:
    """The slices between the first and the last one, from these two alone.

    The signed distance from the outline goes evenly from one to the other; an empty end lets the shape vanish half-way.
    """
    block = np.moveaxis(mask, axis, 0)
    in_plane = [mm for n, mm in enumerate(spacing_mm) if n != axis]
    first, last = block[0], block[-1]
    if not (first.any() or last.any()):
        made = np.zeros_like(block)
    else:
        here, there = _signed_mm(first, in_plane), _signed_mm(last, in_plane)
        if not first.any():
            here = np.full(here.shape, -float(there.max()))
        if not last.any():
            there = np.full(there.shape, -float(here.max()))
        parts = np.linspace(0, 1, len(block))[:, np.newaxis, np.newaxis]
        made = (1 - parts) * here + parts * there > 0
    made[0], made[-1] = first, last
    return np.ascontiguousarray(np.moveaxis(made, 0, axis))


def _signed_mm(inside: Bools, spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """Distance (mm) from the outline, positive inside."""
    from scipy import ndimage

    if not inside.any():
        return np.zeros(inside.shape)
    outer = np.asarray(ndimage.distance_transform_edt(~inside, sampling=spacing_mm))
    # A border of air, so that a mask which fills the slice has an outline.
    inner = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=spacing_mm)[1:-1, 1:-1]
    return np.where(inside, inner, -outer)


OPERATIONS: dict[str, Callable[..., Bools]] = {
    "fill": fill,
    "remove_island": remove_island,
    "keep_island": keep_island,
    "grow": grow,
    "shrink": shrink,
    "smooth": smooth,
    "interpolate": interpolate,
}
