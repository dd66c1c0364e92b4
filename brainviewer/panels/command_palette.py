"""Find any command by a few letters of its name (Ctrl+K)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import QDialog, QLineEdit, QListWidget, QListWidgetItem, QWidget

from brainviewer.panels.parts import column
from brainviewer.panels.theme import GRID

if TYPE_CHECKING:
    from brainviewer.actions.action import Action, Commands


def matching(actions: tuple[Action, ...], typed: str) -> list[Action]:
    """Commands whose text or tip holds every typed word; those whose text begins with it come first."""
    words = typed.casefold().split()
    listed = [action for action in actions if action.in_menu]
    found = [a for a in listed if all(word in f"{a.text} {a.tip}".casefold() for word in words)]
    start = words[0] if words else ""
    return sorted(found, key=lambda action: (not action.text.casefold().startswith(start), not _in(action, words)))


def _in(action: Action, words: list[str]) -> bool:
    return all(word in action.text.casefold() for word in words)


class CommandPalette(QDialog):
    """A line to type in and the commands that fit, with their keys."""

    def __init__(self, commands: Commands, parent: QWidget) -> None:
        super().__init__(parent)
        self._commands = commands
        self.setWindowTitle("Find a command")
        self.setModal(True)
        self.typed = QLineEdit()
        self.typed.setPlaceholderText("What do you want to do?")
        self.typed.setAccessibleName("Find a command")
        self.found = QListWidget()
        self.found.setAccessibleName("Commands that fit")
        self.setLayout(column(self.typed, self.found, margin=GRID))
        self.resize(520, 360)
        self.typed.textChanged.connect(self._show)
        self.typed.returnPressed.connect(self._choose)
        self.found.itemActivated.connect(self._choose)
        self.found.itemClicked.connect(self._choose)
        self.typed.installEventFilter(self)
        self._show()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Arrow keys in the line move through the list."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()))
            if step is not None:
                row = min(max(self.found.currentRow() + step, 0), self.found.count() - 1)
                self.found.setCurrentRow(row)
                return True
        return super().eventFilter(watched, event)

    def _show(self) -> None:
        self.found.clear()
        self._commands.refresh()
        for action in matching(self._commands.actions, self.typed.text()):
            made = self._commands.qaction(action.id)
            if not made.isEnabled():
                continue
            keys = [QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText) for key in action.shortcuts]
            item = QListWidgetItem(f"{action.text.rstrip(' .')}    {' or '.join(keys)}".rstrip())
            item.setToolTip(action.tip)
            item.setData(Qt.ItemDataRole.UserRole, action.id)
            self.found.addItem(item)
        self.found.setCurrentRow(0)

    def _choose(self) -> None:
        item = self.found.currentItem()
        if item is not None:
            self.accept()
            self._commands.run(item.data(Qt.ItemDataRole.UserRole))
