"""An approximate brain mask for scans with or without skull, of any MR contrast, by classical morphology.

Good enough to say where to look and what to normalise by, not for measuring a brain's volume; results that use it
carry the word "approximate". Figures: tests/benchmarks/bench_brain_mask.py against the IXI label maps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engines.volume import Volume

Mask = NDArray[np.bool_]
Stack = NDArray[np.float32]

WORKING_MM = 2.0  # in-plane pixel of the working grid: fine enough for a mask, quick
SCALP_MM = 5.0  # scalp and outer skull: never brain
SHELL_MM = (3.0, 9.0)  # where the dark skull lies when there is one
DEEP_MM = 25.0


def brain_mask(volume: Volume) -> tuple[Mask, bool]:
    """Approximate brain mask on the volume's grid, and whether the volume was already skull-stripped.

    Works slice by slice along the volume's slice axis (thick slices make 3D morphology meaningless), with the largest
    connected part in 3D.
    """
    axis = volume.slice_axis
    stack = np.moveaxis(volume.voxels if volume.voxels.ndim == 3 else volume.voxels.mean(-1), axis, 0)
    stack = np.where(np.isfinite(stack), stack, 0).astype(np.float32)
    pixel = np.delete(volume.spacing_mm, axis)
    zoom = np.minimum(pixel / WORKING_MM, 1.0)
    coarse = ndimage.zoom(stack, (1, *zoom), order=1, grid_mode=True, mode="nearest")
    mm = WORKING_MM if np.all(zoom < 1) else float(pixel.mean() / zoom.mean())
    mask, stripped = _brain(coarse, mm)
    back = np.array(stack.shape) / np.array(mask.shape)
    full = ndimage.zoom(mask.astype(np.float32), back, order=1, grid_mode=True, mode="nearest")[
        : stack.shape[0], : stack.shape[1], : stack.shape[2]
    ]
    return np.moveaxis(full > 0.5, 0, axis), stripped


def head_mask(stack: Stack, mm: float) -> Mask:
    """Everything that is not air, holes filled slice by slice. stack: (slices, rows, cols)."""
    smooth = ndimage.gaussian_filter(stack, (0, 1, 1))
    level = _otsu(smooth)
    bright = smooth[smooth > level]
    if bright.size == 0:
        return np.zeros(stack.shape, bool)
    rough = smooth > min(level, 0.25 * float(np.median(bright)))
    rough = ndimage.binary_opening(rough, _disc(1.5 * WORKING_MM, mm))
    closed = ndimage.binary_closing(rough, _disc(4.0, mm))
    return _filled(_largest(closed))


def _brain(stack: Stack, mm: float) -> tuple[Mask, bool]:
    head = head_mask(stack, mm)
    depth = _depth(head, mm)
    deep = stack[depth > min(DEEP_MM, 0.7 * float(depth.max(initial=0)))]
    if deep.size == 0:
        return head, True
    reference = float(np.median(deep[deep > 0])) if (deep > 0).any() else 0.0
    if _is_stripped(stack, depth, reference):
        return head, True
    smooth = ndimage.gaussian_filter(stack, (0, 0.5, 0.5))
    tissue = (smooth > 0.5 * reference) & (depth > SCALP_MM)
    seed = _largest(ndimage.binary_erosion(tissue, _disc(5.0, mm)))
    grown = ndimage.binary_dilation(seed, _disc(7.0, mm)) & (smooth > 0.3 * reference) & (depth > SCALP_MM)
    smooth_edge = ndimage.binary_opening(_filled(ndimage.binary_closing(grown, _disc(8.0, mm))), _disc(4.0, mm))
    return _filled(_largest(smooth_edge)), False


def _is_stripped(stack: Stack, depth: NDArray[np.float32], reference: float) -> bool:
    """A skull shows as a dark ring under the scalp; without it the rim is as bright as tissue."""
    outside = stack[depth == 0]
    background = np.median(outside) if outside.size else 0.0
    if outside.size and np.mean(outside == background) < 0.9:
        return False  # noise in the air: nobody has masked this
    shell = stack[(depth > SHELL_MM[0]) & (depth < SHELL_MM[1])]
    return shell.size > 0 and float(np.percentile(shell, 25)) > 0.45 * reference


def _otsu(values: NDArray[np.floating[Any]]) -> float:
    """Otsu's threshold (1979) on a 256-bin histogram up to the 99.5th percentile."""
    top = float(np.percentile(values, 99.5))
    if top <= values.min():
        return top
    counts, edges = np.histogram(np.minimum(values, top), bins=256)
    centres = 0.5 * (edges[:-1] + edges[1:])
    below = np.cumsum(counts).astype(float)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(centres[int(np.nanargmax(between[:-1]))])


def _disc(radius_mm: float, mm: float) -> Mask:
    """In-plane disc as a (1, d, d) structuring element."""
    r = max(1, round(radius_mm / mm))
    grid = np.arange(-r, r + 1)
    return (grid[:, None] ** 2 + grid[None, :] ** 2 <= (r + 0.3) ** 2)[None]


def _largest(mask: Mask) -> Mask:
    """The largest part connected in 3D."""
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: Mask = labels == sizes.argmax()
    return largest


def _filled(mask: Mask) -> Mask:
    """Holes filled in each slice."""
    return np.stack([ndimage.binary_fill_holes(plane) for plane in mask])


def _depth(mask: Mask, mm: float) -> NDArray[np.float32]:
    """In-plane distance to the mask's border in millimetres; 0 outside."""
    padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    planes = [ndimage.distance_transform_edt(plane)[1:-1, 1:-1] for plane in padded]
    depth: NDArray[np.float32] = (np.stack(planes) * mm).astype(np.float32)
    return depth
