"""The panel of slice scores under the views. Its curves need pyqtgraph, which is loaded after the window is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QVBoxLayout, QWidget

from brainviewer.panels.parts import label
from brainviewer.state import Cursor, Display
from engines import AnomalyResult, Volume

if TYPE_CHECKING:
    from brainviewer.plots.slice_scores import SliceScoreStrip


class ScoresPanel(QWidget):
    """Holds the strip; makes it when it is first needed, or when `warm_up` is called after the start."""

    def __init__(self, cursor: Cursor, display: Display, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cursor, self._display = cursor, display
        self._strip: SliceScoreStrip | None = None
        self._picture = label("A single picture has no slices; its score stands in the Engines panel.", "muted")
        self._picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._picture.hide()
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.addWidget(self._picture)

    @property
    def strip(self) -> SliceScoreStrip:
        """The curves."""
        if self._strip is None:
            # Importing pyqtgraph takes a third of the whole start.
            from brainviewer.plots.slice_scores import SliceScoreStrip

            self._strip = SliceScoreStrip(self._cursor, self._display)
            self._layout.addWidget(self._strip)
        return self._strip

    def warm_up(self) -> None:
        """Make the strip now."""
        self.strip.setVisible(self._picture.isHidden())

    def show_runs(self, volume: Volume | None, runs: Sequence[tuple[str, AnomalyResult]]) -> None:
        """Curves of these runs on this volume."""
        if self._strip is None and not runs and volume is None:
            return
        is_picture = volume is not None and volume.is_picture
        self._picture.setVisible(is_picture)
        self.strip.setVisible(not is_picture)
        self.strip.set_volume(volume, runs)

    def show_states(self, states: NDArray[np.uint8] | None) -> None:
        """What a reader said about each slice of the volume, under the curves; None while nobody corrects."""
        if states is not None or self._strip is not None:
            self.strip.set_states(states)
            self.strip.setVisible(self._picture.isHidden())

    def next_high(self, direction: int) -> None:
        """Go to the next (1) or previous (-1) slice above the threshold."""
        self.strip.next_high(direction)
