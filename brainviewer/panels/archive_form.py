"""What has to be known of an archive before it can be asked."""

from __future__ import annotations

from PySide6.QtWidgets import QCheckBox, QComboBox, QDialog, QFormLayout, QLineEdit, QPushButton, QWidget

from brainviewer.panels.parts import column, label, row
from brainviewer.panels.theme import GRID
from brainviewer.storage import nodes
from engines import KnownError

KINDS = {"dimse": "DICOM network (DIMSE)", "web": "DICOMweb"}
FETCHES = {"get": "C-GET: no port is opened here", "move": "C-MOVE: a port is open while fetching"}
LINES = {
    "name": "Name",
    "host": "Address",
    "port": "Port",
    "title": "Its AE title",
    "own_title": "Our AE title",
    "listen_host": "Listen on",
    "listen_port": "Listening port",
    "url": "Web address",
    "token": "Token",
    "user": "User",
    "password": "Password",
    "ca_file": "Trusted certificates (PEM)",
    "certificate": "Our certificate (PEM)",
    "key": "Its key (PEM)",
}
ONLY = {"dimse": ("host", "port", "title", "own_title"), "web": ("url", "token", "user", "password")}
STARTS = {"host": "127.0.0.1", "port": "104", "title": "ANY-SCP", "own_title": "BRAINVIEWER"}
STARTS["listen_host"] = STARTS["host"]
NUMBERS = ("port", "listen_port")


class ArchiveForm(QDialog):
    """Saves an archive. node: what was saved."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Add an archive")
        self.node: nodes.Node | None = None
        self.kind, self.fetch = QComboBox(), QComboBox()
        for box, choices in ((self.kind, KINDS), (self.fetch, FETCHES)):
            for key, text in choices.items():
                box.addItem(text, key)
            box.currentIndexChanged.connect(self._refresh)
        self.lines = {name: QLineEdit(STARTS.get(name, "")) for name in LINES}
        for name in ("token", "password"):
            self.lines[name].setEchoMode(QLineEdit.EchoMode.Password)
        self.tls = QCheckBox("Encrypt (TLS)")
        self.said = label("", "warning", wrap=True)
        self._form = QFormLayout()
        self._form.addRow("Name", self.lines["name"])
        self._form.addRow("Kind", self.kind)
        for name, title in LINES.items():
            if name != "name":
                self._form.addRow(title, self.lines[name])
        self._form.insertRow(6, "Fetch by", self.fetch)
        self._form.addRow("", self.tls)
        save, cancel = QPushButton("Save"), QPushButton("Cancel")
        save.setProperty("role", "primary")
        save.clicked.connect(self.save)
        cancel.clicked.connect(self.reject)
        self.setLayout(column(self._form, self.said, row(None, cancel, save), margin=2 * GRID))
        self.setMinimumWidth(460)
        self._refresh()

    def save(self) -> None:
        """Keep what was written, or say what is wrong with it."""
        facts: dict[str, object] = {name: box.text().strip() for name, box in self.lines.items()}
        for name in NUMBERS:
            facts[name] = int(str(facts[name]) or 0) if str(facts[name]).isdigit() or not facts[name] else -1
        facts |= {"kind": self.kind.currentData(), "fetch": self.fetch.currentData(), "tls": self.tls.isChecked()}
        if facts["kind"] == "web":
            facts |= {"fetch": "get", "port": 104}
        try:
            self.node = nodes.make(**facts)
            nodes.save(self.node)
        except KnownError as error:
            self.said.setText(str(error))
            self.node = None
        else:
            self.accept()

    def _refresh(self) -> None:
        kind, moves = self.kind.currentData(), self.fetch.currentData() == "move"
        for name, box in self.lines.items():
            wanted = name not in ONLY["web" if kind == "dimse" else "dimse"]
            if name.startswith("listen"):
                wanted = kind == "dimse" and moves
            self._form.setRowVisible(box, wanted)
        self._form.setRowVisible(self.fetch, kind == "dimse")
        self._form.setRowVisible(self.tls, kind == "dimse")
