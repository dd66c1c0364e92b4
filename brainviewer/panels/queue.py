"""The queue: runs on studies of the library, which go on while the reader looks at something else."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QPushButton, QTableWidget, QTableWidgetItem, QWidget

from brainviewer.jobs.queueing import Queueing
from brainviewer.panels.parts import column, label, row
from brainviewer.panels.status import time_left
from brainviewer.panels.theme import GRID
from brainviewer.storage.queue import Entry

EMPTY = "Nothing is queued. The button over the library's list runs the engines on all studies listed there."
HEADS = ("Study", "Run", "State")
SAID = {"waiting": "waits", "working": "in work", "done": "done", "failed": "failed", "stopped": "stopped"}


class QueuePanel(QWidget):
    """A line an order, in the order they were given."""

    def __init__(self, queueing: Queueing, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._queueing = queueing
        self._entries: tuple[Entry, ...] = ()
        self._empty = label(EMPTY, "muted", wrap=True)
        self._empty.setContentsMargins(GRID, GRID, GRID, GRID)
        self.table = QTableWidget(0, len(HEADS))
        self.table.setHorizontalHeaderLabels(list(HEADS))
        self.table.setAccessibleName("Queue of runs")
        self.table.setShowGrid(False)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(24)
        heads = self.table.horizontalHeader()
        heads.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        heads.setStretchLastSection(True)
        heads.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        for section, width in enumerate((180, 200)):
            self.table.setColumnWidth(section, width)
        self._stop, self._retry, self._clear = QPushButton("Stop"), QPushButton("Retry"), QPushButton("Clear")
        self._stop.setToolTip("Stop the run in work and all that wait; Retry takes them up again")
        self._retry.setToolTip("Let what failed or was stopped wait again")
        self._clear.setToolTip("Take what is over off this list; the runs stay in the library")
        self._stop.clicked.connect(queueing.stop)
        self._retry.clicked.connect(queueing.retry)
        self._clear.clicked.connect(queueing.clear)
        buttons = row(self._stop, self._retry, self._clear, None)
        buttons.setContentsMargins(GRID, GRID // 2, GRID, GRID // 2)
        layout = column(self._empty, self.table, spacing=0)
        layout.addLayout(buttons)
        self.setLayout(layout)
        # Progress comes up to thirty times a second.
        self._soon = QTimer(self, singleShot=True, interval=150)
        self._soon.timeout.connect(self.refresh)
        queueing.changed.connect(lambda: self._soon.isActive() or self._soon.start())
        self.refresh()

    def refresh(self) -> None:
        """List again."""
        self._entries = self._queueing.entries
        states = {entry.state for entry in self._entries}
        self._empty.setVisible(not self._entries)
        self.table.setVisible(bool(self._entries))
        self._stop.setEnabled(bool(states & {"waiting", "working"}))
        self._retry.setEnabled(bool(states & {"failed", "stopped"}))
        self._clear.setEnabled(bool(states & {"done", "failed", "stopped"}))
        self.table.setRowCount(len(self._entries))
        for down, entry in enumerate(self._entries):
            for across, text in enumerate((entry.order.study_title, entry.order.title, self.said(entry))):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                self.table.setItem(down, across, item)

    def said(self, entry: Entry) -> str:
        """How far an order is, in words."""
        job = self._queueing.job
        if entry.state != "working" or job is None:
            return f"{SAID[entry.state]}: {entry.message}" if entry.message else SAID[entry.state]
        left = job.seconds_left
        words = [job.text or "starts", time_left(left) if left is not None else ""]
        return "  \u00b7  ".join(word for word in words if word)
