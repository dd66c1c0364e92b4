"""The same slices as another scanner might show them: contrast, shading, sharpness and noise changed a little."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engines.preparation import FLOOR, TISSUE_LEVEL, SliceStack

EQUAL_AT, EQUAL_LEVELS = (20, 80), (0.27, 0.49)  # percentiles, and the grey levels where they are put
LEAST_CONTRAST = 0.03
GAMMA = 0.22  # natural logarithm of the largest change of gamma
SHADING = 0.06  # deviation of the smooth gain over the brain
SHADING_PX = 40.0
BLUR_PX = 0.7
NOISE = 0.012


def equal_contrast(stack: SliceStack) -> SliceStack:
    """The stack with the 20th and 80th percentile of its brain at fixed grey levels, by a straight line.

    Grey and white matter of two scanners may differ twice as much in one picture as in the other.
    """
    if not stack.foreground.any():
        return stack
    grey = (stack.pictures + 1) / 2
    low, high = np.percentile(grey[stack.foreground], EQUAL_AT)
    gain = (EQUAL_LEVELS[1] - EQUAL_LEVELS[0]) / max(float(high - low), LEAST_CONTRAST)
    return _with_grey(stack, EQUAL_LEVELS[0] + gain * (grey - low))


def changed_appearance(stack: SliceStack, seed: int) -> SliceStack:
    """A copy of the stack with other grey levels; median tissue stays where it was."""
    rng = np.random.default_rng(seed)
    inside = stack.foreground
    grey = np.maximum((stack.pictures + 1) / 2, 0)
    grey = TISSUE_LEVEL * (grey / TISSUE_LEVEL) ** np.exp(rng.uniform(-GAMMA, GAMMA))
    grey = grey * (1 + SHADING * smooth_noise(grey.shape, rng, SHADING_PX))
    if rng.random() < 0.5:
        grey = ndimage.gaussian_filter(grey, (0, BLUR_PX, BLUR_PX))
    grey = grey + rng.normal(0, rng.uniform(0, NOISE), grey.shape)
    median = float(np.median(grey[inside])) if inside.any() else TISSUE_LEVEL
    return _with_grey(stack, grey * (TISSUE_LEVEL / max(median, 1e-6)))


def _with_grey(stack: SliceStack, grey: NDArray[Any]) -> SliceStack:
    """The stack with grey levels 0..1 instead."""
    pictures = np.clip(2 * grey - 1, FLOOR, -FLOOR).astype(np.float32)
    pictures[~stack.foreground] = FLOOR
    return replace(stack, pictures=pictures)


def smooth_noise(shape: tuple[int, ...], rng: np.random.Generator, pixels: float) -> NDArray[np.float64]:
    """Noise of unit deviation for slices of shape (n, S, S), smooth over about this many pixels of a side of 192."""
    steps = (pixels / 2, pixels * shape[1] / 192, pixels * shape[2] / 192)
    coarse = rng.normal(size=tuple(max(2, round(size / step)) for size, step in zip(shape, steps, strict=True)))
    zoom = np.array(shape) / np.array(coarse.shape)
    fine: NDArray[np.float64] = ndimage.zoom(coarse, zoom, order=1, grid_mode=True, mode="nearest")
    return fine / max(float(fine.std()), 1e-6)
