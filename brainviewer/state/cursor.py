"""The one point in the patient that every view shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QObject, Signal


class Cursor(QObject):
    """Where the reader is looking, in RAS+ millimetres.

    Signals:
        moved: the position has changed.
    """

    moved = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._position_mm = np.zeros(3)

    @property
    def position_mm(self) -> NDArray[np.float64]:
        """Position in the patient, float64 (3,), RAS+ millimetres; a copy."""
        return self._position_mm.copy()

    def move_to(self, position_mm: ArrayLike) -> None:
        """Look at another point; says so only when it really is another."""
        position = np.asarray(position_mm, dtype=np.float64)
        if position.shape != (3,) or not np.all(np.isfinite(position)):
            raise ValueError(f"A position needs three finite numbers, not {position_mm!r}.")
        if not np.array_equal(position, self._position_mm):
            self._position_mm = position.copy()
            self.moved.emit()
