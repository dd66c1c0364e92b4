"""An approximate brain mask for head scans with or without skull, of any MR contrast.

A small network (brain_network.py, trained by brain_training.py on T1 scans made blind to contrast) looks at axial
slices; of what it finds the largest part connected in 3D is kept. Skull-stripped scans are recognised and taken as they
are. Good enough to say where to look and what to normalise by, not for measuring a brain's volume; results that
use it carry the word "approximate". Figures: resources/brain_mask/README.md.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy import ndimage
from torch import Tensor

from engines.brain_network import PIXEL_MM, SIDE, BrainNetwork, normalised
from engines.contract import Report, silent
from engines.orientation import from_pictures, in_patient_order, orientation_of, to_pictures
from engines.volume import Volume

Mask = NDArray[np.bool_]
Stack = NDArray[np.float32]

WEIGHTS = Path(__file__).parents[1] / "resources" / "brain_mask" / "weights.safetensors"
AXIAL = 2
HEAD_MM = 240.0  # what a scan without a pixel size is taken to show
SHELL_MM = (3.0, 9.0)  # where the dark skull lies when there is one
DEEP_MM = 25.0
THIN_MM = 5.0
SCALP_MM = 6.0  # skin and the outer skull lie over every brain
BRAIN_MM = 155.0  # from the skin of the vertex down to the foramen magnum
MOST_SHOWN, STRAY = 0.75, 0.02  # a masked scan has empty air, and next to nothing in it


def brain_mask(volume: Volume, report: Report = silent) -> tuple[Mask, bool]:
    """Approximate brain mask on the volume's grid, and whether the volume was already skull-stripped."""
    report(0, 1, "finding the brain")
    voxels = volume.voxels if volume.voxels.ndim == 3 else volume.voxels.mean(-1)
    orientation = orientation_of(volume.affine)
    stack = to_pictures(np.nan_to_num(voxels, posinf=0, neginf=0), orientation, AXIAL).astype(np.float32)
    col_mm, row_mm, slice_mm = in_patient_order(volume.spacing_mm, orientation)
    if not volume.calibrated:
        col_mm = row_mm = HEAD_MM / max(stack.shape[1:])
    scale = np.minimum(np.array([slice_mm, row_mm, col_mm]) / PIXEL_MM, [1.0, np.inf, np.inf])
    coarse = ndimage.zoom(stack, scale, order=1, grid_mode=True, mode="nearest")
    if is_stripped(coarse):
        found = _filled(_largest(stack != np.median(coarse[:, 0])))
        return from_pictures(found, orientation, AXIAL), True
    head = head_mask(coarse, PIXEL_MM)
    likely = np.where(_depth(head, PIXEL_MM) > SCALP_MM, _probability(coarse, head, report), 0)
    if volume.calibrated:
        _forget_the_neck(likely, head, max(slice_mm, PIXEL_MM))
    # What is thinner than twice THIN_MM is scalp or membrane; the brain's own border comes back unharmed.
    thick = ndimage.binary_opening(likely > 0.5, _disc(THIN_MM, PIXEL_MM))
    likely = np.where(_largest(thick), likely, np.minimum(likely, 0.49))
    fine = _resized_to(likely, stack.shape)
    return from_pictures(_filled(fine > 0.5), orientation, AXIAL), False


def _forget_the_neck(likely: Stack, head: Mask, slice_mm: float) -> None:
    """No adult brain reaches further below the vertex than BRAIN_MM: muscles of the neck are not brain."""
    shown = np.flatnonzero(head.any((1, 2)))
    if len(shown):
        likely[: max(0, int(shown[-1] - BRAIN_MM / slice_mm))] = 0


@cache
def _network() -> BrainNetwork:
    network = BrainNetwork()
    network.load_state_dict({key: value.float() for key, value in load_file(WEIGHTS).items()})
    return network.eval().requires_grad_(False)


@torch.no_grad()
def _probability(coarse: Stack, head: Mask, report: Report) -> Stack:
    """Probability of brain for slices of PIXEL_MM pixels: (slices, rows, cols) in and out."""
    corners = []
    framed = coarse
    for axis in (1, 2):
        inside = np.flatnonzero(head.any((0, 3 - axis)))
        middle = (inside[0] + inside[-1]) // 2 if len(inside) else coarse.shape[axis] // 2
        corners.append(int(middle) - SIDE // 2)
        before, after = max(0, -corners[-1]), max(0, corners[-1] + SIDE - coarse.shape[axis])
        pads = [(before, after) if a == axis else (0, 0) for a in range(3)]
        framed = np.pad(framed, pads).take(range(max(0, corners[-1]), max(0, corners[-1]) + SIDE), axis)
    network = _network()
    logits: list[Tensor] = []
    for part in (parts := torch.from_numpy(framed)[:, None].split(16)):
        report(len(logits), len(parts), "finding the brain")
        logits.append(network(normalised(part)))
    likely = torch.cat(logits).sigmoid()[:, 0].numpy()
    out = np.zeros_like(coarse)
    rows, cols = (slice(max(0, c), min(c + SIDE, n)) for c, n in zip(corners, coarse.shape[1:], strict=True))
    out[:, rows, cols] = likely[
        :, rows.start - corners[0] : rows.stop - corners[0], cols.start - corners[1] : cols.stop - corners[1]
    ]
    return out


def head_mask(stack: Stack, mm: float) -> Mask:
    """Everything that is not air, holes filled slice by slice. stack: (slices, rows, cols), mm: pixel size."""
    smooth = ndimage.gaussian_filter(stack, (0, 1, 1))
    level = _otsu(smooth)
    bright = smooth[smooth > level]
    if bright.size == 0:
        return np.zeros(stack.shape, bool)
    rough = smooth > min(level, 0.25 * float(np.median(bright)))
    rough = ndimage.binary_opening(rough, _disc(3.0, mm))
    return _filled(_largest(ndimage.binary_closing(rough, _disc(4.0, mm))))


def is_stripped(stack: Stack) -> bool:
    """Whether the skull is gone: one value only outside the head, and no dark ring under its surface.

    stack: (slices, rows, cols) with pixels of PIXEL_MM.
    """
    shown = stack != np.median(stack[:, 0])
    head = _filled(_largest(shown))
    if shown.mean() > MOST_SHOWN or (shown & ~head).sum() > STRAY * head.sum():
        return False  # noise in the air: nobody has masked this
    depth = _depth(head, PIXEL_MM)
    deep = stack[depth > min(DEEP_MM, 0.7 * float(depth.max(initial=0)))]
    shell = stack[(depth > SHELL_MM[0]) & (depth < SHELL_MM[1])]
    if not shell.size or not deep.size:
        return False
    return float(np.percentile(shell, 25)) > 0.45 * float(np.median(deep))


def _resized_to(values: Stack, shape: tuple[int, ...]) -> Stack:
    """Linear interpolation to another number of voxels over the same extent."""
    zoom = np.array(shape) / np.array(values.shape)
    out: Stack = ndimage.zoom(values, zoom, order=1, grid_mode=True, mode="nearest")
    return out


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
    disc: Mask = (grid[:, None] ** 2 + grid[None, :] ** 2 <= (r + 0.3) ** 2)[None]
    return disc


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
