"""One step of a correction: which voxels flipped and which slices changed their state; its own inverse."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bounds = tuple[int, int]
Mask = NDArray[np.uint8]


class SliceState(IntEnum):
    """What a reader has said about a slice of a mask.

    AUTO: nothing yet. CONFIRMED: right as the engine made it. CORRECTED: drawn by the reader.
    REJECTED: nothing abnormal in it. INTERPOLATED: made from corrected slices on both sides.
    """

    AUTO = 0
    CONFIRMED = 1
    CORRECTED = 2
    REJECTED = 3
    INTERPOLATED = 4


STATE_NAMES = {
    SliceState.AUTO: "auto",
    SliceState.CONFIRMED: "confirmed",
    SliceState.CORRECTED: "corrected",
    SliceState.REJECTED: "rejected-healthy",
    SliceState.INTERPOLATED: "interpolated",
}
STATE_OF_NAME = {name: state for state, name in STATE_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a volume: voxels from start to before stop along i, j and k."""

    i: Bounds
    j: Bounds
    k: Bounds

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """What an array is indexed with."""
        return slice(*self.i), slice(*self.j), slice(*self.k)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (i, j, k)."""
        return self.i[1] - self.i[0], self.j[1] - self.j[0], self.k[1] - self.k[0]

    @property
    def voxels(self) -> int:
        """Voxels inside."""
        i, j, k = self.shape
        return i * j * k

    def axis(self, axis: int) -> Bounds:
        """Start and stop along a voxel axis."""
        return (self.i, self.j, self.k)[axis]

    def joined(self, other: Box) -> Box:
        """The smallest box around both."""
        pairs = zip((self.i, self.j, self.k), (other.i, other.j, other.k), strict=True)
        return box_of([(min(a[0], b[0]), max(a[1], b[1])) for a, b in pairs])

    def within(self, outer: Box) -> tuple[slice, slice, slice]:
        """This box as slices of an array that covers `outer`."""
        pairs = zip((self.i, self.j, self.k), (outer.i, outer.j, outer.k), strict=True)
        i, j, k = (slice(a[0] - b[0], a[1] - b[0]) for a, b in pairs)
        return i, j, k


NOWHERE = Box((0, 0), (0, 0), (0, 0))


def box_of(bounds: Sequence[Bounds]) -> Box:
    """A box from three pairs of bounds."""
    i, j, k = bounds
    return Box(i, j, k)


def whole(shape: Sequence[int]) -> Box:
    """All voxels of a volume."""
    return box_of([(0, size) for size in shape])


def slice_box(shape: Sequence[int], axis: int, first: int, last: int | None = None) -> Box:
    """Slices first .. last of a volume along a voxel axis; one slice where `last` is not given."""
    bounds = [(0, size) for size in shape]
    bounds[axis] = (first, (first if last is None else last) + 1)
    return box_of(bounds)


def tight(inside: NDArray[np.bool_], box: Box | None = None) -> Box | None:
    """The smallest box around the True voxels of an array that covers `box`; None where there are none."""
    outer = box or whole(inside.shape)
    bounds = []
    for axis in range(3):
        others = tuple(n for n in range(3) if n != axis)
        hit = np.flatnonzero(inside.any(axis=others))
        if not hit.size:
            return None
        begin = outer.axis(axis)[0]
        bounds.append((begin + int(hit[0]), begin + int(hit[-1]) + 1))
    return box_of(bounds)


@dataclass(frozen=True, slots=True)
class StateChange:
    """A slice that is in another state afterwards."""

    index: int
    before: SliceState
    after: SliceState


@dataclass(frozen=True, slots=True)
class Edit:
    """One step that can be undone.

    what: for the reader ("Brush"). box: around the voxels that flipped. flips: one bit a voxel of the box, row after
    row with k fastest, packed. states: slices that changed their state. at: seconds since 1970.
    Applying an edit twice leaves a mask as it was, which is all that undo needs.
    """

    what: str
    box: Box
    flips: bytes
    states: tuple[StateChange, ...] = ()
    at: float = field(default_factory=time.time)

    def flip(self, mask: Mask) -> None:
        """Do it, or take it back, on the voxels."""
        if self.box.voxels:
            bits = np.unpackbits(np.frombuffer(self.flips, np.uint8), count=self.box.voxels)
            mask[self.box.slices] ^= bits.reshape(self.box.shape)


def make_edit(what: str, box: Box, flipped: NDArray[Any], states: tuple[StateChange, ...] = ()) -> Edit:
    """An edit from the voxels of a box that flipped; the box is made as small as possible."""
    inside = flipped.astype(bool, copy=False)
    least = tight(inside, box)
    if least is None:
        return Edit(what, NOWHERE, b"", states)
    return Edit(what, least, np.packbits(inside[least.within(box)]).tobytes(), states)
