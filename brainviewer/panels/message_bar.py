"""Messages above the views: what happened, what to do about it. Never a box that stops the work."""

from __future__ import annotations

from collections import deque

from PySide6.QtCore import QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QLabel, QPushButton, QWidget

from brainviewer.panels.parts import IconButton, column, label, row
from brainviewer.panels.theme import GRID, Theme
from brainviewer.state.messages import Level, Message, Messages

NOTE_MS = 5000


class MessageBar(QFrame):
    """One message at a time, errors first come first shown; notes leave by themselves."""

    def __init__(self, messages: Messages, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._waiting: deque[Message] = deque()
        self._shown: Message | None = None
        self.setProperty("role", "bar")
        self._icon = QLabel()
        self._text = label("", "heading", wrap=True)
        self._remedy = label("", wrap=True)
        self._more = label("", "muted")
        self._copy = QPushButton("Copy details")
        self._copy.setToolTip("Copy the technical details for a fault report")
        self._copy.clicked.connect(self._copy_details)
        close = IconButton(theme, "close", "Close this message")
        close.clicked.connect(self.dismiss)
        texts = column(self._text, self._remedy, spacing=2)
        layout = row(self._icon, texts, self._more, self._copy, close, margin=GRID)
        layout.setStretchFactor(texts, 1)
        self.setLayout(layout)
        self._timer = QTimer(self, singleShot=True, interval=NOTE_MS)
        self._timer.timeout.connect(self.dismiss)
        messages.posted.connect(self.add)
        self.hide()

    @property
    def shown(self) -> Message | None:
        """The message in view."""
        return self._shown

    def add(self, message: Message) -> None:
        """Show a message, or let it wait; a note in view makes way at once."""
        if message == self._shown or message in self._waiting:
            return
        if self._shown is None or self._shown.level is Level.NOTE:
            self._show(message)
        else:
            self._waiting.append(message)
            self._count()

    def dismiss(self) -> None:
        """Close the message in view; the next one follows."""
        self._timer.stop()
        self._shown = None
        if self._waiting:
            self._show(self._waiting.popleft())
        else:
            self.hide()

    def _show(self, message: Message) -> None:
        self._shown = message
        colours = self._theme.colours
        colour = {Level.ERROR: colours.error, Level.WARNING: colours.warning, Level.NOTE: colours.accent}
        self._icon.setPixmap(self._theme.pixmap(message.level.value, 20, colour[message.level]))
        self._icon.setAccessibleName(message.level.value)
        self._text.setText(message.text)
        self._remedy.setText(message.remedy)
        self._remedy.setVisible(bool(message.remedy))
        self._copy.setVisible(bool(message.details))
        self.setProperty("level", message.level.value)
        self.style().unpolish(self)
        self.style().polish(self)
        self._count()
        self.show()
        if message.level is Level.NOTE:
            self._timer.start()
        else:
            self._timer.stop()

    def _count(self) -> None:
        self._more.setText(f"{len(self._waiting)} more" if self._waiting else "")

    def _copy_details(self) -> None:
        if self._shown is not None:
            parts = [self._shown.text, self._shown.remedy, self._shown.details]
            QGuiApplication.clipboard().setText("\n".join(part for part in parts if part))
