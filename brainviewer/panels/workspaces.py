"""The middle of the window in its different uses; study, cursor and layers stay the same in all of them."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QStackedWidget, QToolButton, QWidget

from brainviewer.panels.parts import row
from brainviewer.panels.theme import GRID


class Workspaces(QStackedWidget):
    """One widget a workspace, and the buttons that switch between them.

    Signals:
        switched(str): the workspace on show is another.
    """

    switched = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._buttons: dict[str, QToolButton] = {}
        self._pages: dict[str, QWidget] = {}
        self._chosen = ""
        self._group = QButtonGroup(self)
        self.switcher = QWidget()
        self.switcher.setAccessibleName("Workspaces")
        self._layout = row(spacing=2)
        self._layout.setContentsMargins(0, 2, GRID * 2, 2)
        self.switcher.setLayout(self._layout)

    def add(self, name: str, content: QWidget, tip: str) -> None:
        """Add a workspace; the first one is shown. Two workspaces may share their content."""
        button = QToolButton()
        button.setText(name)
        button.setToolTip(tip)
        button.setCheckable(True)
        button.setChecked(not self._buttons)
        button.setProperty("role", "workspace")
        button.clicked.connect(lambda: self.choose(name))
        self._group.addButton(button)
        self._layout.addWidget(button)
        self._buttons[name] = button
        self._pages[name] = content
        self._chosen = self._chosen or name
        if self.indexOf(content) < 0:
            self.addWidget(content)

    @property
    def chosen(self) -> str:
        """The workspace on show."""
        return self._chosen

    def choose(self, name: str) -> None:
        """Show a workspace."""
        if name != self.chosen:
            self._chosen = name
            self.setCurrentWidget(self._pages[name])
            self._buttons[name].setChecked(True)
            self.switched.emit(name)
