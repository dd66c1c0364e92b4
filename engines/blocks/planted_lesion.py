"""A healthy brain with an invented lesion: a soft dark or bright region with a core that pushes tissue aside.

Only its look at a coarse scale matters: engines learn from it where healthy tissue ends, and settings are chosen on it
without looking at any patient. Grey levels are those of SliceStack, median tissue at TISSUE_LEVEL.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engines.blocks.appearance import smooth_noise
from engines.preparation import FLOOR, TISSUE_LEVEL, SliceStack

PLANTER = 2  # counts the changes of what is planted, for those who keep it
PIXELS = 192  # radii below are in pixels of a brain this many pixels wide, about a millimetre each
RADIUS = (8.0, 30.0)
CORE = (0.3, 0.7)  # of the radius
PUSH = (0.0, 0.35)
EDGE, CORE_EDGE = (3.0, 14.0), (2.0, 6.0)  # width of the border: oedema fades, a core hardly does
BRIGHT = 0.15  # share of lesions that are brighter than tissue
DARK_LEVELS, BRIGHT_LEVELS = (0.65, 0.92), (1.1, 1.5)  # of the median tissue
CORE_LEVELS = (0.35, 0.8)


def planted(stack: SliceStack, slice_px: float, seed: int) -> tuple[SliceStack, NDArray[np.bool_]]:
    """The stack with one lesion, and where it is (n, S, S). slice_px: distance of slices in pixels."""
    rng = np.random.default_rng(seed)
    whole = stack.foreground
    step = np.array([slice_px, 1.0, 1.0]) * PIXELS / whole.shape[1]  # pixels of a brain of PIXELS
    depth = ndimage.distance_transform_edt(whole[:, ::2, ::2], sampling=step * [1, 2, 2])
    candidates = np.argwhere(depth > RADIUS[0]) * [1, 2, 2]
    if not len(candidates):
        return stack, np.zeros_like(whole)
    centre = candidates[rng.integers(len(candidates))]
    radius = rng.uniform(*RADIUS)
    reach = int(1.5 * radius / step[0]) + 1
    part = slice(max(0, centre[0] - reach), centre[0] + reach + 1)
    inside, grey = whole[part], (stack.pictures[part] + 1) / 2
    index = np.indices(grey.shape, np.float32)
    middle = centre - [part.start, 0, 0]
    offset = (index - middle[:, None, None, None]) * step[:, None, None, None]
    ragged = radius * (1 + 0.15 * smooth_noise(grey.shape, rng, 12))
    region = _soft(ragged - np.linalg.norm(offset, axis=0), rng.uniform(*EDGE))
    core_radius = radius * rng.uniform(*CORE)
    core_offset = offset - rng.uniform(-0.25, 0.25, (3, 1, 1, 1)) * radius
    apart = np.linalg.norm(core_offset, axis=0)
    core = _soft(core_radius - apart + 0.15 * core_radius * smooth_noise(grey.shape, rng, 8), rng.uniform(*CORE_EDGE))
    # Tissue is looked up nearer to the core's middle: it has been pushed outwards.
    push = rng.uniform(*PUSH) * np.exp(-((apart / (1.6 * core_radius)) ** 2))
    moved = index - core_offset / step[:, None, None, None] * push
    grey = ndimage.map_coordinates(grey, moved, order=1, mode="nearest")
    bright = rng.random() < BRIGHT
    texture = 1 + 0.04 * smooth_noise(grey.shape, rng, 6)
    level = TISSUE_LEVEL * rng.uniform(*(BRIGHT_LEVELS if bright else DARK_LEVELS)) * texture
    share = rng.uniform(0.5, 0.9) * region
    grey = grey * (1 - share) + share * (np.maximum(grey, level) if bright else np.minimum(grey, level))
    core_level = TISSUE_LEVEL * rng.uniform(*CORE_LEVELS) * (1 + 0.12 * smooth_noise(grey.shape, rng, 6))
    grey = grey * (1 - core) + core * core_level
    pictures = stack.pictures.copy()
    pictures[part] = np.where(inside, np.clip(2 * grey - 1, FLOOR, -FLOOR), FLOOR)
    lesion = np.zeros_like(whole)
    lesion[part] = inside & ((region > 0.5) | (core > 0.5))
    return replace(stack, pictures=pictures), lesion


def _soft(depth: NDArray[Any], width: float) -> NDArray[Any]:
    """0 outside to 1 inside over `width` pixels."""
    return np.asarray(np.clip(depth / width + 0.5, 0, 1))
