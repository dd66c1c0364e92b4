"""What a fine-tuning changed: figures before and after, the verdict, and slices side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage, QPainter, QPixmap
from PySide6.QtWidgets import QGridLayout, QPushButton, QScrollArea, QWidget

from brainviewer.panels.parts import column, label, row
from brainviewer.panels.theme import GRID, tabular

if TYPE_CHECKING:
    from engines.finetuning import Example, Tuned

ROWS = {
    "held_out": ("Dice on corrected slices kept apart", "{:.3f}"),
    "replay": ("Dice on slices nobody corrected", "{:.3f}"),
    "false_positives": ("Healthy brain that is marked", "{:.3%}"),
}
DRAWN, OLD, NEW = (79, 195, 247), (255, 183, 77), (129, 199, 132)
SIDE = 180


class TunedView(QWidget):
    """Hidden until there is something to judge. Colours: blue the reader, orange the old model, green the new one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: object = None
        self.verdict = label("", "heading", wrap=True)
        self.promote, self.discard = QPushButton("Promote"), QPushButton("Discard")
        self.promote.setProperty("role", "primary")
        self.promote.setToolTip("Put the new model among your models; the old one stays")
        self.discard.setToolTip("Forget the new model")
        self._table, self._pictures = QGridLayout(), QGridLayout()
        self._table.setHorizontalSpacing(GRID * 3)
        self._pictures.setSpacing(GRID)
        inner = QWidget()
        inner.setLayout(column(self._pictures, None))
        area = QScrollArea()
        area.setWidget(inner)
        area.setWidgetResizable(True)
        layout = column(self.verdict, self._table, row(self.promote, self.discard, None), area)
        layout.setStretchFactor(area, 1)
        self.setLayout(layout)

    def show_result(self, tuned: Tuned | None) -> None:
        """The end of a fine-tuning, or nothing."""
        self.setVisible(tuned is not None)
        if tuned is None or tuned is self._shown:
            return
        self._shown = tuned
        self.verdict.setText(tuned.verdict.reason)
        self.promote.setEnabled(tuned.model is not None)
        _empty(self._table)
        _empty(self._pictures)
        for place, head in enumerate(("", "Before", "After")):
            self._table.addWidget(label(head, "caption"), 0, place)
        for number, (name, (text, form)) in enumerate(ROWS.items(), 1):
            self._table.addWidget(label(text), number, 0)
            for place, figures in enumerate((tuned.before, tuned.after), 1):
                value = label(form.format(getattr(figures, name)), "heading")
                value.setFont(tabular(value.font()))
                self._table.addWidget(value, number, place)
        self._table.setColumnStretch(3, 1)
        self._show_examples(tuned.examples)

    def _show_examples(self, examples: tuple[Example, ...]) -> None:
        for place, head in enumerate(("", "Reader", "Old model", "New model")):
            self._pictures.addWidget(label(head, "caption"), 0, place)
        for number, one in enumerate(examples, 1):
            self._pictures.addWidget(label("learned" if one.learned else "kept apart", "muted"), number, 0)
            for place, (mask, colour) in enumerate(((one.drawn, DRAWN), (one.before, OLD), (one.after, NEW)), 1):
                cell = label("")
                cell.setPixmap(outlined(one.picture, mask, colour))
                self._pictures.addWidget(cell, number, place)
        self._pictures.setColumnStretch(4, 1)


def outlined(picture: NDArray[np.float32], mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> QPixmap:
    """A slice in grey, SIDE pixels at most, with the outline of a mask, two pixels wide whatever the slice's size."""
    low, high = np.percentile(picture, (1, 99.5))
    grey = (255 * np.clip((picture - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)
    rows, columns = mask.shape
    image = QImage(np.ascontiguousarray(grey).data, columns, rows, columns, QImage.Format.Format_Grayscale8)
    keep, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    shown = image.scaled(SIDE, SIDE, keep, smooth).convertToFormat(QImage.Format.Format_RGB32)
    tall, wide = shown.height(), shown.width()
    large = mask[np.arange(tall) * rows // tall][:, np.arange(wide) * columns // wide]
    core = large.copy()
    for shift in (1, 2):
        core[shift:] &= large[:-shift]
        core[:-shift] &= large[shift:]
        core[:, shift:] &= large[:, :-shift]
        core[:, :-shift] &= large[:, shift:]
    outline = np.zeros((tall, wide, 4), np.uint8)
    outline[large & ~core] = (*colour, 255)
    with QPainter(shown) as painter:
        painter.drawImage(0, 0, QImage(outline.data, wide, tall, 4 * wide, QImage.Format.Format_RGBA8888))
    return QPixmap.fromImage(shown)


def _empty(layout: QGridLayout) -> None:
    while (item := layout.takeAt(0)) is not None:
        widget = item.widget()
        if widget is not None:
            widget.deleteLater()
