"""Which formats, which folder, with or without the patient's identity."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QCheckBox, QComboBox, QDialog, QFileDialog, QLineEdit, QPushButton, QWidget

from brainviewer.export import EXPORTERS
from brainviewer.panels.parts import column, label, line, row
from brainviewer.panels.theme import GRID, Theme
from brainviewer.storage import nodes

CHOSEN = ("nifti", "dicom-sr")


class ExportDialog(QDialog):
    """All formats with a tick each. formats, folder, deidentify: what was chosen."""

    def __init__(self, theme: Theme, folder: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export the runs of this study")
        self._boxes = {name: QCheckBox(exporter.title) for name, exporter in EXPORTERS.items()}
        for name, box in self._boxes.items():
            box.setChecked(name in CHOSEN)
            box.toggled.connect(self._refresh)
        self._hide = QCheckBox("Take the patient's identity out of the DICOM objects")
        self._hide.setChecked(True)
        self._hide.setToolTip("Leave it in for the archive that the scan came from: it files objects by the patient")
        self._place = QLineEdit(folder)
        self._place.setPlaceholderText("Folder for the files")
        self._place.setAccessibleName("Folder")
        self._place.textChanged.connect(self._refresh)
        self._archive = QComboBox()
        self._archive.setAccessibleName("Archive")
        self._archive.addItem("Send to no archive", "")
        for node in nodes.load():
            self._archive.addItem(f"Send DICOM objects to {node.name} ({node.place})", node.name)
        # Nobody who saved no archive needs to read about them.
        self._archive.setVisible(self._archive.count() > 1)
        choose = QPushButton("Choose ...")
        choose.clicked.connect(self._choose)
        self._go, cancel = QPushButton("Export"), QPushButton("Cancel")
        self._go.setProperty("role", "primary")
        self._go.setDefault(True)
        self._go.clicked.connect(self.accept)
        cancel.clicked.connect(self.reject)
        plain = [box for name, box in self._boxes.items() if not EXPORTERS[name].dicom]
        dicom = [box for name, box in self._boxes.items() if EXPORTERS[name].dicom]
        self.setLayout(
            column(
                label("Files", "caption"), *plain, line(),
                label("DICOM objects", "caption"), *dicom, self._hide, line(),
                row(self._place, choose), self._archive, label("Research use only; not for diagnosis.", "warning"),
                row(None, cancel, self._go),
                margin=2 * GRID,
            )
        )  # fmt: skip
        self.setMinimumWidth(460)
        self._refresh()

    @property
    def formats(self) -> list[str]:
        """Keys of the ticked formats."""
        return [name for name, box in self._boxes.items() if box.isChecked()]

    @property
    def folder(self) -> Path:
        """Where the files go."""
        return Path(self._place.text().strip()).expanduser()

    @property
    def deidentify(self) -> bool:
        """Whether DICOM objects lose the patient's identity."""
        return self._hide.isChecked()

    @property
    def archive(self) -> str:
        """Name of the archive to send to, "" for none."""
        return str(self._archive.currentData()) if any(EXPORTERS[name].dicom for name in self.formats) else ""

    def _choose(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Folder for the files", self._place.text())
        if name:
            self._place.setText(name)

    def _refresh(self) -> None:
        self._go.setEnabled(bool(self.formats and self._place.text().strip()))
        dicom = any(EXPORTERS[name].dicom for name in self.formats)
        self._hide.setEnabled(dicom)
        self._archive.setEnabled(dicom)
