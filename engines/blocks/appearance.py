"""The same slices as another scanner might show them: contrast, shading, sharpness and noise changed a little."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engines.preparation import FLOOR, TISSUE_LEVEL, SliceStack

GAMMA = 0.22  # natural logarithm of the largest change of gamma
SHADING = 0.06  # deviation of the smooth gain over the brain
SHADING_SIGMA = (18.0, 0.2, 0.2)  # slices, share of the side
BLUR_PX = 0.7
NOISE = 0.012


def changed_appearance(stack: SliceStack, seed: int) -> SliceStack:
    """A copy of the stack with other grey levels; median tissue stays where it was."""
    rng = np.random.default_rng(seed)
    inside = stack.foreground
    grey = np.maximum((stack.pictures + 1) / 2, 0)
    grey = TISSUE_LEVEL * (grey / TISSUE_LEVEL) ** np.exp(rng.uniform(-GAMMA, GAMMA))
    grey = grey * (1 + SHADING * _smooth_noise(grey.shape, rng))
    if rng.random() < 0.5:
        grey = ndimage.gaussian_filter(grey, (0, BLUR_PX, BLUR_PX))
    grey = grey + rng.normal(0, rng.uniform(0, NOISE), grey.shape)
    median = float(np.median(grey[inside])) if inside.any() else TISSUE_LEVEL
    pictures = np.clip(2 * grey * (TISSUE_LEVEL / max(median, 1e-6)) - 1, FLOOR, -FLOOR).astype(np.float32)
    pictures[~inside] = FLOOR
    return replace(stack, pictures=pictures)


def _smooth_noise(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth noise of unit deviation, made coarse and enlarged."""
    coarse = rng.normal(size=tuple(max(2, round(size / step)) for size, step in zip(shape, _steps(shape), strict=True)))
    fine: NDArray[np.float64] = ndimage.zoom(
        coarse, np.array(shape) / np.array(coarse.shape), order=1, grid_mode=True, mode="nearest"
    )
    return fine / max(float(fine.std()), 1e-6)


def _steps(shape: tuple[int, ...]) -> tuple[float, float, float]:
    slices, rows, cols = SHADING_SIGMA
    return slices, rows * shape[1], cols * shape[2]
