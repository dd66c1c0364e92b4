"""From a coarse idea of a lesion to its outline: which part of the neighbourhood is as bright as its core.

Stands where the published method asks MedSAM for an outline; needs no weights and no pixel labels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Maps = NDArray[np.float32]
Bools = NDArray[np.bool_]

CORE, DOUBT = 0.7, 0.3  # probability that counts as surely inside, and as surely outside
REACH = 0.06  # how far an outline may lie from the coarse mask, as a share of the picture's side
RING = 0.2  # how far around is looked for normal tissue
LEAST_SHARE = 0.2  # parts smaller than this share of the largest are dropped
SHARPNESS = 2.0  # weight of brightness (in steps from outside to inside) against probability
LEAST_CONTRAST = 0.05  # share of the tissue's brightness below which a lesion has no edge to follow


def outlined(probability: Maps, grey: Maps, foreground: Bools, labels: Bools) -> Bools:
    """Masks (n, S, S) of one volume in slice order; empty in slices that show no lesion.

    probability: (n, S, S) of a lesion, grey: (n, S, S) brightness over the tissue's median, labels: (n,).
    """
    smooth = ndimage.gaussian_filter(np.where(labels[:, None, None], probability, 0), (0.5, 1, 1))
    coarse = main_parts(_coarse(smooth, foreground, labels))
    masks = np.zeros(foreground.shape, bool)
    for index in np.flatnonzero(labels):
        masks[index] = _followed(smooth[index], grey[index], foreground[index], coarse[index])
    return main_parts(masks)


def _coarse(probability: Maps, foreground: Bools, labels: Bools) -> Bools:
    """Above one half; in a labelled slice without such a pixel, above half of its maximum."""
    inside = np.where(foreground, probability, 0)
    most = inside.max((1, 2))
    level = np.where(most > 0.5, 0.5, 0.5 * most)
    coarse: Bools = (inside > level[:, None, None]) & labels[:, None, None]
    return coarse


def main_parts(masks: Bools) -> Bools:
    """The largest part connected in 3D and those not much smaller; a slice left empty keeps its own largest part."""
    parts, count = ndimage.label(masks, np.ones((3, 3, 3)))
    if count < 2:
        return masks
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept = np.isin(parts, np.flatnonzero(sizes >= LEAST_SHARE * sizes.max()))
    for index in np.flatnonzero(masks.any((1, 2)) & ~kept.any((1, 2))):
        own, _ = ndimage.label(masks[index])
        areas = np.bincount(own.ravel())
        areas[0] = 0
        kept[index] = own == areas.argmax()
    return kept


def _followed(probability: Maps, grey: Maps, foreground: Bools, coarse: Bools) -> Bools:
    """One slice: brightness half-way between core and surroundings, near the coarse mask, agreeing with probability."""
    side = len(grey)
    if not coarse.any():
        return coarse
    apart = ndimage.distance_transform_edt(~coarse)
    near = (apart <= REACH * side) & foreground
    core = coarse & (probability > min(CORE, float(np.median(probability[coarse]))))
    around = (apart > REACH * side) & (apart <= RING * side) & foreground & (probability < DOUBT)
    if not core.any() or not around.any():
        return coarse
    fine = ndimage.gaussian_filter(grey, 0.7 * side / 128)
    inside, outside = float(np.median(fine[core])), float(np.median(fine[around]))
    if inside - outside < LEAST_CONTRAST:
        return coarse
    edge = (fine - (inside + outside) / 2) / (inside - outside)
    belief = np.clip(edge, -1, 1) * SHARPNESS + (probability - 0.5)
    found = near & (ndimage.gaussian_filter(belief, side / 128) > 0)
    found = ndimage.binary_fill_holes(ndimage.binary_opening(found, iterations=max(1, side // 128)))
    labels, count = ndimage.label(found)
    touching = np.unique(labels[coarse & found])
    kept: Bools = np.isin(labels, touching[touching > 0]) & foreground
    return kept if count and kept.any() else coarse
