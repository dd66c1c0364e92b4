"""The audit trail on screen: what was done when, whether the trail is whole, and a table to take along."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QFileDialog,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from brainviewer.jobs.host import WorkerHost
from brainviewer.panels.parts import column, label, row
from brainviewer.panels.theme import GRID, tabular
from brainviewer.storage.audit import Entry, Verdict, as_csv
from brainviewer.storage.files import write_whole
from engines import KnownError

HEADS = ("No.", "Time (UTC)", "Who", "What", "Study", "Details")
# More lines than anybody reads; the file that is saved has all.
SHOWN = 1000


class AuditTrail(QDialog):
    """Reads and checks the trail in the reading worker."""

    def __init__(self, reading: WorkerHost, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Audit trail")
        self._entries: tuple[Entry, ...] = ()
        self.said = label("Checking the trail ...", "muted", wrap=True)
        self.table = QTableWidget(0, len(HEADS))
        self.table.setHorizontalHeaderLabels(list(HEADS))
        self.table.setAccessibleName("Audit trail")
        self.table.setFont(tabular(self.table.font()))
        self.table.setShowGrid(False)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.verticalHeader().hide()
        heads = self.table.horizontalHeader()
        heads.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        heads.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        heads.setStretchLastSection(True)
        for section, width in enumerate((48, 190, 90, 70, 120)):
            self.table.setColumnWidth(section, width)
        save, close = QPushButton("Save as CSV ..."), QPushButton("Close")
        save.clicked.connect(self._choose)
        close.clicked.connect(self.reject)
        self.setLayout(column(self.said, self.table, row(None, save, close), margin=2 * GRID))
        self.resize(900, 520)
        for task, take in (("entries", self._show), ("verify", self._judge)):
            job = reading.submit("", f"brainviewer.storage.audit:{task}")
            job.finished.connect(take)
            job.failed.connect(lambda error: self.said.setText(getattr(error, "message", str(error))))

    def _show(self, entries: tuple[Entry, ...]) -> None:
        self._entries = entries
        newest = entries[::-1][:SHOWN]
        self.table.setRowCount(len(newest))
        for down, one in enumerate(newest):
            cells = str(one.number), one.time[:23].replace("T", " "), one.who, one.what, one.study[:12], one.details
            for across, text in enumerate(cells):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                self.table.setItem(down, across, item)

    def _judge(self, verdict: Verdict) -> None:
        if verdict.problem:
            self.said.setText(f"The trail is not whole: {verdict.problem}")
        else:
            known = f"{verdict.entries} entries, the last has the digest {verdict.head[:16]}"
            self.said.setText(f"The trail is whole: {known}.")

    def _choose(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the audit trail", "audit.csv", "CSV (*.csv)")
        if name:
            self.save(Path(name))

    def save(self, path: Path) -> None:
        """Write the whole trail as a table."""
        try:
            write_whole(path, as_csv(self._entries))
        except (KnownError, OSError) as error:
            self.said.setText(f"It could not be saved: {error}")
        else:
            self.said.setText(f"Saved as {path.name}.")
