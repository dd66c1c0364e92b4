"""The runs in figures: against a drawn truth (ROC, precision over recall, a table) and against each other."""

from __future__ import annotations

import math
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from brainviewer.jobs.measuring import Measuring
from brainviewer.panels.parts import column, label, row
from brainviewer.panels.theme import GRID, tabular
from brainviewer.plots.curves import CurvePlot, Level, Line
from brainviewer.state.masks import Masks
from brainviewer.state.messages import Messages
from engines import KnownError

# Head of the column, figure of the verdict, how it is written, tip.
COLUMNS = (
    ("Dice", "dice", "{:.3f}", "Overlap of the mask at the threshold with the truth"),
    ("Oracle Dice", "oracle_dice", "{:.3f}", "Best Dice of all thresholds; chosen with the truth, no reader has that"),
    ("Voxel AUROC", "auroc", "{:.3f}", "Of the voxels each run scored"),
    ("Voxel AP", "average_precision", "{:.3f}", "Average precision; a coin reaches the prevalence"),
    ("Prevalence", "prevalence", "{:.3f}", "Share of lesion voxels in the scored region"),
    ("Slice AUROC", "slice_auroc", "{:.3f}", "Of the slice scores; none for a run on another series"),
    ("HD95", "hausdorff95_mm", "{:.1f} mm", "95th percentile of the distances between the surfaces"),
    ("Lesions found", "found", "{}", "Lesions of which at least a tenth is marked"),
    ("False places", "false_positives", "{}", "Marked places that touch no lesion"),
    (
        "Lesion outside",
        "missed_outside",
        "{:.1%}",
        "Share of the truth outside the scored region, in no figure",
    ),
)
NO_TRUTH = "Add a mask drawn by a reader (File > Add a mask) to see ROC, precision over recall and the table."


class FiguresView(QWidget):
    """Three plots over a table."""

    def __init__(self, measuring: Measuring, masks: Masks, messages: Messages, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._measuring, self._masks, self._messages = measuring, masks, messages
        self.roc = CurvePlot("ROC of the voxels", "False positive rate", "True positive rate")
        self.precision = CurvePlot("Precision over recall of the voxels", "Recall", "Precision", legend_low=False)
        self.apart = CurvePlot("Bland-Altman", "Mean of the two healthy percentiles", "First minus second", unit=False)
        self._pairs, self._truths = QComboBox(), QComboBox()
        self._pairs.setAccessibleName("Which two runs are compared")
        self._pairs.activated.connect(self._show_pair)
        for combo in (self._pairs, self._truths):
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self._truths.setAccessibleName("Mask that the runs are measured against")
        self._truths.activated.connect(lambda n: masks.set_truth(self._truths.itemData(n)))
        self._note = label("", "muted", wrap=True)
        self.table = QTableWidget(0, len(COLUMNS) + 1)
        self._set_up_table()
        save = QPushButton("Save the figures ...")
        save.setToolTip("Three figures as PNG and SVG, their points and the table as CSV, into a folder")
        save.clicked.connect(self._choose_folder)
        bar = row(label("Truth"), self._truths, label("Pair"), self._pairs, None, save)
        bar.setContentsMargins(GRID, 0, GRID, 0)
        plots = row(self.roc, self.precision, self.apart, spacing=2)
        layout = column(bar, self._note, spacing=GRID)
        layout.addLayout(plots, 3)
        layout.addWidget(self.table, 1)
        self.setLayout(layout)
        measuring.changed.connect(self.refresh)
        masks.changed.connect(self._offer_truths)
        self._offer_truths()

    def _set_up_table(self) -> None:
        for number, (head, tip) in enumerate([("Run", ""), *((head, tip) for head, *_, tip in COLUMNS)]):
            item = QTableWidgetItem(head)
            item.setToolTip(tip)
            self.table.setHorizontalHeaderItem(number, item)
        self.table.setAccessibleName("Figures of each run against the truth")
        self.table.setFont(tabular(self.table.font()))
        self.table.verticalHeader().hide()
        self.table.setShowGrid(False)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        heads = self.table.horizontalHeader()
        heads.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        heads.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)

    def refresh(self) -> None:
        """Show what is known now."""
        runs, measured = self._measuring.runs, self._measuring.measured
        said = ""
        if self._measuring.working:
            said = "Measuring ..."
        elif not runs:
            said = "Run an engine to see figures."
        elif self._masks.truth is None:
            said = NO_TRUTH
        self._note.setText(said)
        self._note.setVisible(bool(said))
        titles = [run.title for run in runs]
        told = list(zip(titles, measured, strict=False))
        self.roc.show_lines(
            [Line(f"{title}  {one.roc.value:.3f}", one.roc.x, one.roc.y) for title, one in told if one.roc],
            [Level("", 0, diagonal=True)],
        )
        curves = [(title, one.precision_recall) for title, one in told if one.precision_recall]
        self.precision.show_lines(
            [Line(f"{title}  {curve.value:.3f}", curve.x, curve.y) for title, curve in curves],
            [Level(f"prevalence {curve.base:.3f}", curve.base) for _, curve in curves[:1]],
        )
        self._fill_table()
        chosen = self._pairs.currentData()
        self._pairs.clear()
        for first, second in self._measuring.dots:
            self._pairs.addItem(f"{titles[first]} - {titles[second]}", (first, second))
        self._pairs.setCurrentIndex(max(0, self._pairs.findData(chosen)))
        self._show_pair()

    def _fill_table(self) -> None:
        rows = self.rows()
        self.table.setRowCount(len(rows))
        for down, cells in enumerate(rows):
            for across, text in enumerate(cells):
                self.table.setItem(down, across, QTableWidgetItem(text))

    def rows(self) -> list[list[str]]:
        """The table as text."""
        found = []
        for run, one in zip(self._measuring.runs, self._measuring.measured, strict=False):
            cells = [run.title]
            for _, name, form, _ in COLUMNS:
                value = getattr(one.verdict, name)
                known = not isinstance(value, float) or math.isfinite(value)
                text = form.format(value) if known else "-"
                cells.append(f"{text} of {one.verdict.lesions}" if name == "found" else text)
            found.append(cells)
        return found

    def _show_pair(self) -> None:
        pair = self._pairs.currentData()
        dots = self._measuring.dots.get(tuple(pair)) if pair else None
        if dots is None:
            self.apart.show_lines([], [])
            return
        self.apart.show_lines(
            [Line("voxels", dots.x, dots.y, dots=True)],
            [
                Level(f"bias {dots.bias:.1f}", dots.bias),
                Level(f"lower limit {dots.low:.1f}", dots.low),
                Level(f"upper limit {dots.high:.1f}", dots.high),
            ],
        )

    def _offer_truths(self) -> None:
        truth = self._masks.truth
        self._truths.clear()
        self._truths.addItem("none", "")
        for mask in self._masks.all:
            self._truths.addItem(mask.title, mask.key)
        self._truths.setCurrentIndex(max(0, self._truths.findData(truth.key if truth is not None else "")))

    def _choose_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Save the figures")
        if name:
            try:
                self.save(Path(name))
            except KnownError as error:
                self._messages.error(error)
            else:
                self._messages.note(f"The figures are saved in {Path(name).name}.")

    def save(self, folder: Path) -> None:
        """Write figures and table; raises KnownError."""
        for name, plot in (("roc", self.roc), ("precision_recall", self.precision), ("bland_altman", self.apart)):
            for suffix in ("png", "svg", "csv"):
                plot.save(folder / f"{name}.{suffix}")
        lines = [["Run", *(head for head, *_ in COLUMNS)], *self.rows()]
        try:
            text = "\n".join(",".join(f'"{cell}"' for cell in cells) for cells in lines)
            (folder / "figures.csv").write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise KnownError(f"The table could not be saved: {error}.", "Choose another folder.") from error

    def showEvent(self, event: QShowEvent) -> None:  # noqa: D102, N802
        super().showEvent(event)
        self._measuring.watch(True)

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: D102, N802
        super().hideEvent(event)
        self._measuring.watch(False)
