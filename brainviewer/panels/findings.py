"""The list of findings: what lies above the threshold, how large, where, and which other engines see it too."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from brainviewer.jobs.finding import Finding
from brainviewer.panels.parts import column, label
from brainviewer.panels.theme import GRID, tabular
from brainviewer.state import Cursor
from brainviewer.state.session import Session
from brainviewer.study.orientation import describe, is_oriented

HEADS = ("", "Engine", "Peak", "Volume", "Side", "Place", "Also seen by")
TIPS = (
    "Number",
    "Engine and model",
    "Highest healthy percentile inside",
    "Volume above the threshold",
    "Side of the head",
    "Where the peak lies",
    "Other engines that mark at least a tenth of it",
)
Index = QModelIndex | QPersistentModelIndex


class FindingsPanel(QWidget):
    """A line a finding, the largest of each engine first; a click or the arrow keys go there.

    Signals:
        listed: the lines are others.
    """

    listed = Signal()

    def __init__(self, finding: Finding, session: Session, cursor: Cursor, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._finding, self._session, self._cursor = finding, session, cursor
        self.model = FindingsModel()
        self._note = label("", "muted", wrap=True)
        self._note.setContentsMargins(GRID, GRID, GRID, GRID)
        self._table = QTableView()
        self._table.setModel(self.model)
        self._table.setAccessibleName("Findings")
        self._table.setFont(tabular(self._table.font()))
        self._table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self._table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._table.setShowGrid(False)
        self._table.setWordWrap(False)
        self._table.verticalHeader().hide()
        self._table.verticalHeader().setDefaultSectionSize(24)
        heads = self._table.horizontalHeader()
        heads.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        heads.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        heads.setHighlightSections(False)
        heads.setStretchLastSection(True)
        for section, width in enumerate((36, 150, 76, 76, 72, 190)):
            self._table.setColumnWidth(section, width)
        self.setLayout(column(self._note, self._table, spacing=0))
        self._table.selectionModel().currentChanged.connect(self._go)
        finding.changed.connect(self.refresh)
        session.volume_changed.connect(self.refresh)
        self.refresh()

    @property
    def note(self) -> str:
        """What stands in place of the list."""
        return self._note.text() if not self._note.isHidden() else ""

    def refresh(self) -> None:
        """List again."""
        volume, found = self._session.volume, self._finding.found
        self.model.show(self._finding, volume is not None and is_oriented(volume))
        if found.findings:
            text = ""
        elif self._finding.searching:
            # Before what an older search found: "nothing" must not be said of a run it did not know.
            text = "Looking for findings ..."
        elif self._finding.runs:
            text = "Nothing lies above the threshold. Lower it in Layers to see fainter places."
        else:
            text = "Run an engine: what it finds is listed here."
        self._note.setText(text)
        self._note.setVisible(bool(text))
        self._table.setVisible(not text)
        self.listed.emit()

    def go_to(self, row: int) -> None:
        """Bring a finding into view."""
        self._table.selectRow(row)

    def _go(self, current: QModelIndex) -> None:
        if current.isValid():
            self._cursor.move_to(self._finding.found.findings[current.row()].peak_mm)


class FindingsModel(QAbstractTableModel):
    """The lines of the table; nothing is copied."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[tuple[str, ...]] = []

    def show(self, finding: Finding, oriented: bool) -> None:
        """Take over other findings."""
        self.beginResetModel()
        titles = [run.title for run in finding.runs]
        counts: dict[int, int] = {}
        self._lines = []
        for one in finding.found.findings:
            counts[one.run] = counts.get(one.run, 0) + 1
            volume = "" if one.volume_ml is None else f"{one.volume_ml:.3g} ml"
            seen = ", ".join(titles[other] for other in one.seen_by)
            if not seen and len(titles) > 1:
                seen = "nobody else"
            place = describe(one.peak_mm) if oriented else ""
            self._lines.append(
                (str(counts[one.run]), titles[one.run], f"p {one.peak:.1f}", volume, one.side, place, seen)
            )
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, D102, N802
        return 0 if parent.isValid() else len(self._lines)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, D102, N802
        return 0 if parent.isValid() else len(HEADS)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: D102
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return self._lines[index.row()][index.column()]
        return None

    def headerData(  # noqa: D102, N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation is Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return HEADS[section]
        if orientation is Qt.Orientation.Horizontal and role == Qt.ItemDataRole.ToolTipRole:
            return TIPS[section]
        return None
