"""The masks over the images: which are drawn, which one is the truth, and buttons to add and remove."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtGui import QColor, QIcon, QPixmap
from PySide6.QtWidgets import QCheckBox, QMenu, QPushButton, QSizePolicy, QWidget

from brainviewer.jobs.aligning import Aligning
from brainviewer.jobs.masking import Masking
from brainviewer.panels.parts import IconButton, column, label, line, row
from brainviewer.panels.theme import GRID, Theme
from brainviewer.state.masks import Mask, Masks

LONGEST = 22
HINT = "Add a mask drawn elsewhere to see it here and to measure the runs against it."


class MaskList(QWidget):
    """A line a mask.

    Signals:
        add_requested: the user wants to add a mask file.
    """

    add_requested = Signal()

    def __init__(
        self, masks: Masks, masking: Masking, aligning: Aligning, theme: Theme, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._masks, self._masking, self._aligning, self._theme = masks, masking, aligning, theme
        self._lines: list[QWidget] = []
        self._rows = column(spacing=2)
        self._hint = label(HINT, "muted", wrap=True)
        add = QPushButton("Add a mask ...")
        add.setToolTip("Lay a drawn mask (NIfTI or DICOM segmentation) over the series in view")
        add.clicked.connect(self.add_requested)
        self._consensus = QPushButton("From runs")
        self._consensus.setToolTip("What several runs put above the threshold, or the pseudo-mask an engine made")
        self._consensus.setMenu(QMenu(self._consensus))
        self._consensus.menu().aboutToShow.connect(self._offer)
        buttons = row(add, self._consensus, None)
        self.setLayout(column(line(), label("Masks", "caption"), self._hint, self._rows, buttons, spacing=GRID))
        masks.changed.connect(self.refresh)
        aligning.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """List again."""
        for widget in self._lines:
            self._rows.removeWidget(widget)
            widget.deleteLater()
        self._lines = [self._line(mask) for mask in self._masks.all]
        for widget in self._lines:
            self._rows.addWidget(widget)
        self._hint.setVisible(not self._lines)
        self._consensus.setVisible(len(self._aligning.runs) > 1 or bool(self._masking.with_pseudo_mask))

    def _line(self, mask: Mask) -> QWidget:
        truth = self._masks.truth is mask
        # A long file name would push the buttons out of the panel.
        title = mask.title if len(mask.title) <= LONGEST else f"{mask.title[: LONGEST - 9]}\u2026{mask.title[-8:]}"
        box = QCheckBox(title)
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        box.setIcon(_swatch(mask.colour))
        box.setChecked(self._masks.is_shown(mask.key))
        box.setToolTip(f"Draw {mask.title}")
        box.toggled.connect(lambda on: self._masks.show(mask.key, on))
        measure = IconButton(
            self._theme, "target", "Measure no longer against it" if truth else "Measure the runs against it"
        )
        measure.clicked.connect(lambda: self._masks.set_truth("" if truth else mask.key))
        remove = IconButton(self._theme, "bin", f"Take {mask.title} away; its file stays")
        remove.clicked.connect(lambda: self._masking.remove(mask.key))
        widget = QWidget()
        widget.setLayout(row(box, *([label("truth", "caption")] if truth else []), measure, remove, spacing=4))
        return widget

    def _offer(self) -> None:
        menu = self._consensus.menu()
        menu.clear()
        count = len(self._aligning.runs)
        for least in range(2, count + 1):
            text = f"Where all {count} runs agree" if least == count else f"Where {least} of {count} runs agree"
            menu.addAction(text, partial(self._masking.add_consensus, least))
        for run in self._masking.with_pseudo_mask:
            menu.addAction(f"Pseudo-mask of {run.title}", partial(self._masking.add_pseudo_mask, run))


def _swatch(colour: str) -> QIcon:
    picture = QPixmap(12, 12)
    picture.fill(QColor(colour))
    return QIcon(picture)
