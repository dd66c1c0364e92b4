"""Masks laid over the series in view: a drawn truth, what several runs agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

# Far from the heatmap's colours and from each other.
COLOURS = ("#4fc3f7", "#9ccc65", "#f06292", "#fff176", "#b39ddb")


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A mask on the grid of the series in view. voxels: uint8 (i, j, k), 0 or 1. colour: "#rrggbb"."""

    key: str
    title: str
    colour: str
    voxels: NDArray[np.uint8]


class Masks(QObject):
    """Which masks there are, which of them are drawn, and which one is the truth that runs are measured against.

    Signals:
        changed: any of this.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._all: tuple[Mask, ...] = ()
        self._hidden: set[str] = set()
        self._truth = ""

    @property
    def all(self) -> tuple[Mask, ...]:
        """Every mask of the series in view, in the order they were added."""
        return self._all

    @property
    def shown(self) -> tuple[Mask, ...]:
        """Those that are drawn."""
        return tuple(mask for mask in self._all if mask.key not in self._hidden)

    @property
    def truth(self) -> Mask | None:
        """What runs are measured against."""
        return next((mask for mask in self._all if mask.key == self._truth), None)

    def put(self, masks: Sequence[Mask]) -> None:
        """These and no others lie on the series in view."""
        self._all = tuple(masks)
        self.changed.emit()

    def is_shown(self, key: str) -> bool:
        """True when a mask is drawn."""
        return key not in self._hidden

    def show(self, key: str, wanted: bool) -> None:
        """Draw a mask, or leave it out."""
        (self._hidden.discard if wanted else self._hidden.add)(key)
        self.changed.emit()

    def set_truth(self, key: str) -> None:
        """Measure the runs against a mask; "" against none."""
        self._truth = key
        self.changed.emit()
