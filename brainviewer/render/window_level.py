"""Which grey values become black and white: automatic windows and presets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Enough values for percentiles that are stable to a grey level, few enough to take about a millisecond.
_SAMPLES = 200_000


class Preset(NamedTuple):
    """A named window."""

    name: str
    width: float
    level: float


# Hounsfield units; the names and numbers radiologists know from other viewers.
CT_PRESETS = (
    Preset("Brain", 80, 40),
    Preset("Subdural", 250, 75),
    Preset("Stroke", 40, 40),
    Preset("Soft tissue", 400, 40),
    Preset("Bone", 2500, 480),
    Preset("Angiography", 600, 300),
    Preset("Lung", 1600, -400),
)


def _sampled(voxels: NDArray[Any]) -> NDArray[np.float32]:
    """Finite values of at most some 200,000 voxels spread over the volume."""
    step = max(1, int(np.ceil((voxels.size / _SAMPLES) ** (1 / 3))))
    # Steps longer than an eighth of an axis would leave out most of a thin volume.
    steps = (min(step, max(1, size // 8)) for size in voxels.shape[:3])
    # In the order of the memory: turning a volume's axes takes several times as long.
    values = np.asarray(voxels[tuple(slice(None, None, step) for step in steps)], dtype=np.float32).ravel(order="K")
    values = values[:: max(1, values.size // _SAMPLES)]
    return values[np.isfinite(values)]


def _window(low: float, high: float) -> tuple[float, float]:
    width = float(high) - float(low)
    return (width, float(low) + width / 2) if width > 0 else (1.0, float(low))


def auto_window(voxels: NDArray[Any], kind: str = "") -> tuple[float, float]:
    """A sensible (width, level): brain for CT, the full range of pictures, the bulk of the foreground for MR.

    kind: modality or DICOM kind ("CT", "MR", "T1", "CXR", "picture", ""). Foreground: above a tenth of the brightest
    percentile, so that air around the head does not count.
    """
    if kind == "CT":
        return CT_PRESETS[0].width, CT_PRESETS[0].level
    values = _sampled(voxels)
    if values.size == 0:
        return 1.0, 0.5
    if 1 in voxels.shape[:3]:
        return _window(values.min(), values.max())
    floor, bright = np.percentile(values, [0.1, 99.0])
    foreground = values[values > floor + 0.1 * (bright - floor)]
    low, high = np.percentile(foreground if foreground.size else values, [0.5, 99.5])
    return _window(low, high)


def presets(kind: str, voxels: NDArray[Any]) -> Sequence[Preset]:
    """Windows for the keys 1 to 9; the first is the automatic one."""
    width, level = auto_window(voxels, kind)
    if kind == "CT":
        return CT_PRESETS
    low = level - width / 2
    values = _sampled(voxels)
    full = _window(values.min(), values.max()) if values.size else (width, level)
    return (
        Preset("Automatic", width, level),
        Preset("High contrast", width * 0.5, low + width * 0.5),
        Preset("Dark details", width * 0.5, low + width * 0.25),
        Preset("Bright lesions", width * 0.6, low + width * 0.8),
        Preset("Full range", *full),
    )
