"""Small pieces that several panels are made of: captions, lines, columns on the 8-pixel grid."""

from __future__ import annotations

from typing import TypeVar

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QLayout, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from brainviewer.panels.theme import GRID, Theme

L = TypeVar("L", QVBoxLayout, QHBoxLayout)


def label(text: str, role: str = "", *, wrap: bool = False) -> QLabel:
    """A text in one of the theme's roles (heading, caption, muted, warning, title)."""
    widget = QLabel(text)
    widget.setProperty("role", role)
    widget.setWordWrap(wrap)
    # Texts hold file names and card fields: never read them as markup.
    widget.setTextFormat(Qt.TextFormat.PlainText)
    if wrap:
        widget.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
    return widget


def line() -> QFrame:
    """A thin line between sections."""
    widget = QFrame()
    widget.setProperty("role", "line")
    widget.setFixedHeight(1)
    return widget


def column(*items: QWidget | QLayout | None, margin: int = 0, spacing: int = GRID) -> QVBoxLayout:
    """Things below each other; None is stretch."""
    layout = QVBoxLayout()
    return _fill(layout, items, margin, spacing)


def row(*items: QWidget | QLayout | None, margin: int = 0, spacing: int = GRID) -> QHBoxLayout:
    """Things beside each other; None is stretch."""
    layout = QHBoxLayout()
    return _fill(layout, items, margin, spacing)


def _fill(layout: L, items: tuple[QWidget | QLayout | None, ...], margin: int, spacing: int) -> L:
    layout.setContentsMargins(margin, margin, margin, margin)
    layout.setSpacing(spacing)
    for item in items:
        if item is None:
            layout.addStretch(1)
        elif isinstance(item, QLayout):
            layout.addLayout(item)
        else:
            layout.addWidget(item)
    return layout


class IconButton(QToolButton):
    """A small button with a monochrome icon that follows the theme; its tip is also its name for screen readers."""

    def __init__(self, theme: Theme, icon: str, tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._icon_name = theme, icon
        self.setToolTip(tip)
        self.setAccessibleName(tip)
        self.setIconSize(QSize(16, 16))
        self.setAutoRaise(True)
        theme.changed.connect(self._paint)
        self._paint()

    def _paint(self) -> None:
        self.setIcon(self._theme.icon(self._icon_name))
