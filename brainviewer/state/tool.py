"""Which mouse scheme is in the reader's hand."""

from __future__ import annotations

from typing import Literal, get_args

from PySide6.QtCore import QObject, Signal

Scheme = Literal["radiology", "neuro"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)


class Tool(QObject):
    """Mouse scheme: in "radiology" the left button drags window and level, in "neuro" the crosshair.

    Signals:
        changed: another scheme was chosen.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._scheme: Scheme = "radiology"

    @property
    def scheme(self) -> Scheme:
        """The scheme in use."""
        return self._scheme

    @scheme.setter
    def scheme(self, scheme: Scheme) -> None:
        if scheme not in SCHEMES:
            raise ValueError(f"There is no mouse scheme {scheme!r}, only {', '.join(SCHEMES)}.")
        if scheme != self._scheme:
            self._scheme = scheme
            self.changed.emit()
