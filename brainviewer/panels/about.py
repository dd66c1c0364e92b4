"""About: version, libraries, and what this program is not."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QWidget

import brainviewer
from brainviewer.panels.parts import column, label, row
from brainviewer.panels.theme import GRID, Theme
from brainviewer.storage import folders

LIBRARIES = ("PySide6-Essentials", "vtk", "pyqtgraph", "numpy", "torch", "pydicom", "nibabel")


class AboutBox(QDialog):
    """What runs here; the text can be copied."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("About BrainViewer")
        picture = QLabel()
        picture.setPixmap(theme.pixmap("brain", 48))
        title = label(f"BrainViewer {brainviewer.__version__}", "title")
        purpose = label(
            "Finds what does not belong in a brain scan. For research only: it is not a medical device, and nothing "
            "it shows may be used for diagnosis or treatment.",
            wrap=True,
        )
        facts = label("\n".join(self._facts()), "muted")
        facts.setTextInteractionFlags(facts.textInteractionFlags().TextSelectableByMouse)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.button(QDialogButtonBox.StandardButton.Close).setIcon(QIcon())
        buttons.rejected.connect(self.reject)
        head = row(picture, title, None, spacing=GRID * 2)
        self.setLayout(column(head, purpose, facts, buttons, margin=GRID * 3, spacing=GRID * 2))
        self.setMinimumWidth(460)

    def _facts(self) -> list[str]:
        # Versions are read from the installed packages' notes: torch is not imported for it.
        lines = [f"{name} {_version(name)}" for name in LIBRARIES]
        return [", ".join(lines[:4]), ", ".join(lines[4:]), f"Your models: {folders.models_dir()}"]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
