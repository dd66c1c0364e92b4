"""The scale on which healthy percentiles are shown, the same for every image, engine and plot."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# What matters happens in the last percent, so the scale is logarithmic in the healthy tissue that is left above a
# value: 90 %, 99 % and 99.9 % are evenly spaced. Its ends are fixed, never stretched to an image's own range.
SCALE_LOW = 90.0
SCALE_HIGH = 99.9
SCALE_TICKS = (90.0, 95.0, 99.0, 99.9)


def tail(percentiles: ArrayLike) -> NDArray[np.float32]:
    """How far out in the healthy tail: 1 for 90 %, 2 for 99 %, 3 for 99.9 %; NaN becomes 0."""
    left = 1.0 - np.nan_to_num(np.asarray(percentiles, dtype=np.float64)) / 100.0
    return (-np.log10(np.clip(left, 1e-6, 1.0))).astype(np.float32)


def scale_position(percentiles: ArrayLike) -> NDArray[np.float32]:
    """Place on the colour bar, 0 (SCALE_LOW and less) to 1 (SCALE_HIGH and more)."""
    low, high = tail(SCALE_LOW), tail(SCALE_HIGH)
    return np.clip((tail(percentiles) - low) / (high - low), 0.0, 1.0).astype(np.float32)
