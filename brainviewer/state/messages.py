"""The one way to tell the user something: anybody posts, the message bar shows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from PySide6.QtCore import QObject, Signal


class Level(Enum):
    """How much a message matters."""

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Message:
    """What happened and what can be done. details: for the log and "Copy details", never shown at once."""

    text: str
    remedy: str = ""
    level: Level = Level.NOTE
    details: str = ""


class Messages(QObject):
    """Messages on their way to the user.

    Signals:
        posted: a Message.
    """

    posted = Signal(object)

    def note(self, text: str, remedy: str = "") -> None:
        """Something good to know; goes away by itself."""
        self.posted.emit(Message(text, remedy))

    def warn(self, text: str, remedy: str = "") -> None:
        """Something to keep in mind."""
        self.posted.emit(Message(text, remedy, Level.WARNING))

    def error(self, error: Exception) -> None:
        """Known trouble, a dead worker, or a bug that came from a worker."""
        text = getattr(error, "message", "") or f"{type(error).__name__}: {error}"
        details = getattr(error, "traceback", "") or getattr(error, "details", "")
        self.posted.emit(Message(text, getattr(error, "remedy", ""), Level.ERROR, details))
