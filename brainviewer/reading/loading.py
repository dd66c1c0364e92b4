"""What all loaders share: where voxels are put, in which order, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines import Volume

Allocate = Callable[[tuple[int, ...]], NDArray[np.float32]]
"""allocate(shape): float32 zeros; the jobs layer hands out shared memory, so slices show while they decode."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A volume, and one sentence for each slice that could not be decoded and is empty in it."""

    volume: Volume
    problems: tuple[str, ...] = ()


def zeros(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Memory of this process, i fastest: a slice (i, j) is one contiguous piece, as VTK wants it too."""
    return np.zeros(shape, np.float32, order="F")


def middle_out(count: int) -> list[int]:
    """0 .. count-1 from the middle outwards: the reader sees the middle of the head first."""
    middle = count // 2
    return sorted(range(count), key=lambda n: (abs(n - middle), n))
