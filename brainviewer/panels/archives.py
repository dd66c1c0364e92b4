"""Archives: those that are saved, a search in one of them, and fetching what was found."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDialog,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from brainviewer.jobs.archives import Archives, FoundStudy, Question
from brainviewer.panels.archive_form import ArchiveForm
from brainviewer.panels.parts import column, label, line, row
from brainviewer.panels.theme import GRID
from brainviewer.storage import nodes
from engines import KnownError

HEADS = ("Patient", "ID", "Date", "Description", "Modalities", "Images")
NONE_SAVED = "No archive is saved. Add one; nothing is connected before you search or test it."
FIELDS = {
    "patient_name": ("Patient", "Name; * stands for any text"),
    "patient_id": ("ID", "Patient's ID"),
    "since": ("Since", "YYYYMMDD"),
    "until": ("Until", "YYYYMMDD"),
    "modality": ("Modality", "MR, CT ..."),
}


class ArchivesDialog(QDialog):
    """Stays open beside the window while studies arrive."""

    def __init__(self, archives: Archives, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Archives")
        self._archives = archives
        self._found: list[FoundStudy] = []
        self.nodes = QComboBox()
        self.nodes.setAccessibleName("Archive")
        self.fields = {name: QLineEdit() for name in FIELDS}
        self.said = label("", "muted", wrap=True)
        self.table = QTableWidget(0, len(HEADS))
        self._set_up_table()
        self._buttons = {name: QPushButton(name) for name in ("Add ...", "Remove", "Test", "Search", "Fetch")}
        self._buttons["Search"].setProperty("role", "primary")
        self._buttons["Search"].setDefault(True)
        self._buttons["Fetch"].setToolTip("Bring the chosen studies into the library and open them")
        self._lay_out()
        for name, act in (
            ("Add ...", self._add), ("Remove", self._remove), ("Test", self.test),
            ("Search", self.search), ("Fetch", self.fetch),
        ):  # fmt: skip
            self._buttons[name].clicked.connect(act)
        self.table.itemSelectionChanged.connect(self._refresh)
        archives.answered.connect(self.said.setText)
        archives.found.connect(self._show)
        archives.fetched.connect(lambda _folder: self.said.setText("A study has arrived; it is in the library."))
        self.reload()

    def _set_up_table(self) -> None:
        self.table.setHorizontalHeaderLabels(list(HEADS))
        self.table.setAccessibleName("Studies found")
        self.table.setShowGrid(False)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.verticalHeader().hide()
        heads = self.table.horizontalHeader()
        heads.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        heads.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        heads.setStretchLastSection(True)

    def _lay_out(self) -> None:
        button = self._buttons
        asked = row()
        for name, (title, tip) in FIELDS.items():
            self.fields[name].setPlaceholderText(tip)
            self.fields[name].setAccessibleName(title)
            asked.addLayout(column(label(title, "caption"), self.fields[name], spacing=4))
        self.setLayout(
            column(
                row(self.nodes, button["Add ..."], button["Remove"], button["Test"], None),
                line(), asked, self.table, self.said, row(None, button["Search"], button["Fetch"]),
                margin=2 * GRID,
            )
        )  # fmt: skip
        self.resize(820, 520)

    def reload(self, chosen: str = "") -> None:
        """List the saved archives again."""
        self.nodes.clear()
        for node in nodes.load():
            self.nodes.addItem(f"{node.name} ({node.place})", node.name)
        self.nodes.setCurrentIndex(max(0, self.nodes.findData(chosen)))
        self.said.setText("" if self.nodes.count() else NONE_SAVED)
        self._refresh()

    @property
    def archive(self) -> str:
        """Name of the chosen archive, "" where none is saved."""
        return self.nodes.currentData() or ""

    def test(self) -> None:
        """Ask the chosen archive whether it is there."""
        self.said.setText("Asking ...")
        self._archives.echo(self.archive)

    def search(self) -> None:
        """Look for what the fields say."""
        self.said.setText("Searching ...")
        patient, number, since, until, modality = (box.text().strip() for box in self.fields.values())
        question = Question(patient, number, modality=modality, since=since, until=until)
        self._archives.find(self.archive, question)

    def fetch(self) -> None:
        """Fetch the chosen studies."""
        chosen = sorted({index.row() for index in self.table.selectedIndexes()})
        if chosen:
            self.said.setText("Fetching ...")
            self._archives.fetch(self.archive, [self._found[at] for at in chosen])

    def _show(self, found: list[FoundStudy]) -> None:
        self._found = found
        self.table.setRowCount(len(found))
        for down, one in enumerate(found):
            cells = (
                one.patient, one.patient_id, one.date, one.description, ", ".join(one.modalities),
                str(one.images or ""),
            )  # fmt: skip
            for across, text in enumerate(cells):
                self.table.setItem(down, across, QTableWidgetItem(text))
        self.said.setText(f"{len(found)} studies." if found else "No study fits.")
        self._refresh()

    def _refresh(self) -> None:
        there = bool(self.archive)
        for name in ("Remove", "Test", "Search"):
            self._buttons[name].setEnabled(there)
        self._buttons["Fetch"].setEnabled(there and bool(self.table.selectedIndexes()))

    def _add(self) -> None:
        form = ArchiveForm(self)
        if form.exec() and form.node is not None:
            self.reload(form.node.name)

    def _remove(self) -> None:
        try:
            nodes.remove(self.archive)
        except KnownError as error:
            self.said.setText(str(error))
        else:
            self.reload()
