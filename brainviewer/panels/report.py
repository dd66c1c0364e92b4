"""The Report workspace: what the reader writes on the left, the pages as they will be printed on the right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QSize, Qt, QTimer
from PySide6.QtGui import QImage, QPixmap
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QStackedLayout,
    QWidget,
)

from brainviewer.jobs.delivering import PREVIEW_DPI, Delivering
from brainviewer.jobs.delivery import Paper
from brainviewer.jobs.mapping import Mapping
from brainviewer.panels.export_dialog import ExportDialog
from brainviewer.panels.parts import column, label, row
from brainviewer.panels.theme import GRID, Theme
from brainviewer.state import Display
from brainviewer.state.session import Session

# After the last change of a word or of the threshold.
PAUSE_MS = 700
SIDE_WIDTH = 280
EMPTY = "Nothing to report yet. Run an engine on this study; its report appears here."
WAIT = "Laying out the report ..."
FORMS = "PDF (*.pdf);;HTML (*.html)"


class ReportDesk(QWidget):
    """The workspace. It asks for pages only while it is on show."""

    def __init__(
        self, delivering: Delivering, mapping: Mapping, session: Session, display: Display, theme: Theme
    ) -> None:
        super().__init__()
        self._delivering, self._session, self._theme = delivering, session, theme
        self.mapping = mapping
        self._folder = ""
        self._pending = True
        self._pages = _Pages()
        self._build()
        self._later = QTimer(self, singleShot=True, interval=PAUSE_MS)
        self._later.timeout.connect(self._ask)
        delivering.previewed.connect(self._show_pages)
        delivering.failed.connect(lambda: self._say(""))
        session.runs_changed.connect(self._changed)
        session.studies_changed.connect(self._changed)
        display.changed.connect(lambda name: self._changed() if name == "threshold" else None)

    def _build(self) -> None:
        self.impression, self.notes = QPlainTextEdit(), QPlainTextEdit()
        self.impression.setPlaceholderText("What you conclude")
        self.notes.setPlaceholderText("Anything else worth keeping")
        for box, name in ((self.impression, "Impression"), (self.notes, "Notes")):
            box.setAccessibleName(name)
            box.setTabChangesFocus(True)
            box.textChanged.connect(self._changed)
        self.identifiers = QCheckBox("Name the patient")
        self.identifiers.setToolTip("Write name, ID and dates into the report; else none of them")
        self.paper = QComboBox()
        self.paper.addItems(["A4", "Letter"])
        self.paper.setAccessibleName("Paper")
        self.identifiers.toggled.connect(self._changed)
        self.paper.currentTextChanged.connect(self._changed)
        self._save, self._export = QPushButton("Save the report ..."), QPushButton("Export ...")
        self._save.setProperty("role", "primary")
        self._save.clicked.connect(self.choose_file)
        self._export.clicked.connect(self.choose_export)
        side = QWidget()
        side.setFixedWidth(SIDE_WIDTH)
        side.setLayout(
            column(
                label("Report", "heading"),
                label("Impression", "caption"),
                self.impression,
                label("Notes", "caption"),
                self.notes,
                row(label("Paper", "caption"), self.paper, None),
                self.identifiers,
                self._save,
                self._export,
                margin=GRID,
            )
        )
        self._empty = label(EMPTY, "muted", wrap=True)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        paper = QWidget()
        self._stack = QStackedLayout(paper)
        self._stack.addWidget(self._empty)
        self._stack.addWidget(self._pages)
        layout = row(side, paper, spacing=0)
        layout.setStretch(1, 1)
        self.setLayout(layout)

    def has_report(self) -> bool:
        """True when there is a run to report on."""
        return self._delivering.wish() is not None

    def choose_file(self) -> None:
        """Ask where to save the report, and save it."""
        start = str(Path(self._folder) / "report.pdf")
        name, form = QFileDialog.getSaveFileName(self, "Save the report", start, FORMS)
        if name:
            path = Path(name)
            ending = ".html" if "html" in form else ".pdf"
            self.save(path if path.suffix.lower() in (".pdf", ".html") else path.with_name(path.name + ending))

    def save(self, path: Path) -> None:
        """Save the report as it is previewed."""
        self._folder = str(path.parent)
        self._delivering.save(path, *self._words())

    def choose_export(self) -> None:
        """Ask for formats and a folder, and export."""
        dialog = ExportDialog(self._theme, self._folder, self.window())
        if dialog.exec():
            self._folder = str(dialog.folder)
            self._delivering.export(dialog.formats, dialog.folder, dialog.deidentify, dialog.archive)

    def choose_map(self) -> None:
        """Ask for a parametric map, and lay it over the series in view."""
        name, _ = QFileDialog.getOpenFileName(self, "Add a parametric map", self._folder, "DICOM (*.dcm *)")
        if name:
            self.mapping.add(Path(name))

    def showEvent(self, event: object) -> None:  # noqa: N802
        """Come up to date when the workspace is chosen."""
        super().showEvent(event)  # type: ignore[arg-type]
        if self._pending:
            self._ask()

    def _words(self) -> tuple[str, str, bool, Paper]:
        impression, notes = self.impression.toPlainText(), self.notes.toPlainText()
        paper: Paper = "A4" if self.paper.currentText() == "A4" else "Letter"
        return impression, notes, self.identifiers.isChecked(), paper

    def _changed(self) -> None:
        self._pending = True
        if self.isVisible():
            self._later.start()

    def _ask(self) -> None:
        self._pending = False
        ready = self.has_report()
        self._save.setEnabled(ready)
        self._export.setEnabled(ready)
        if not ready:
            self._pages.show_pages([])
            self._say(EMPTY)
            return
        if not self._pages.count:
            self._say(WAIT)
        self._delivering.preview(*self._words())

    def _say(self, text: str) -> None:
        self._empty.setText(text)
        self._stack.setCurrentWidget(self._empty)

    def _show_pages(self, pages: list[NDArray[np.uint8]]) -> None:
        self._pages.show_pages(pages)
        self._stack.setCurrentWidget(self._pages)


class _Pages(QScrollArea):
    """Sheets of paper below each other, as wide as there is room, at most their true size."""

    def __init__(self) -> None:
        super().__init__()
        self._sheets: list[QLabel] = []
        self._pictures: list[QPixmap] = []
        self._inside = QWidget()
        self._layout = column(margin=2 * GRID, spacing=2 * GRID)
        self._layout.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self._inside.setLayout(self._layout)
        self.setWidget(self._inside)
        self.setWidgetResizable(True)
        self.setAccessibleName("Pages of the report")

    @property
    def count(self) -> int:
        """Number of sheets."""
        return len(self._pictures)

    def show_pages(self, pages: list[NDArray[np.uint8]]) -> None:
        """Other pages; the place in the document stays."""
        self._pictures = [QPixmap.fromImage(_image(page)) for page in pages]
        while len(self._sheets) > len(pages):
            self._sheets.pop().deleteLater()
        while len(self._sheets) < len(pages):
            sheet = QLabel()
            sheet.setProperty("role", "sheet")
            sheet.setAccessibleName(f"Page {len(self._sheets) + 1}")
            self._layout.addWidget(sheet)
            self._sheets.append(sheet)
        self._fit()

    def resizeEvent(self, event: object) -> None:  # noqa: N802
        """Fit the sheets into the new width."""
        super().resizeEvent(event)  # type: ignore[arg-type]
        self._fit()

    def _fit(self) -> None:
        room = self.viewport().width() - 4 * GRID - 2  # the sheet's edge
        scale = self.devicePixelRatioF()
        for sheet, picture in zip(self._sheets, self._pictures, strict=True):
            width = min(room, picture.width())
            size = QSize(width, round(width * picture.height() / picture.width())) * scale
            shown = picture.scaled(size, mode=Qt.TransformationMode.SmoothTransformation)
            shown.setDevicePixelRatio(scale)
            sheet.setPixmap(shown)


def _image(page: NDArray[np.uint8]) -> QImage:
    rows, columns = page.shape[:2]
    image = QImage(page.data, columns, rows, 3 * columns, QImage.Format.Format_RGB888)
    image.setDotsPerMeterX(round(PREVIEW_DPI / 0.0254))
    return image.copy()
