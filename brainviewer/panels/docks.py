"""Panels at the sides: docks with a quiet title, a close button, and room to scroll."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDockWidget, QFrame, QScrollArea, QWidget

from brainviewer.panels.parts import IconButton, label, row
from brainviewer.panels.theme import GRID, Theme


def dock(name: str, content: QWidget, theme: Theme, *, scroll: bool = False, width: int = 0) -> QDockWidget:
    """A side panel called `name`."""
    made = QDockWidget(name)
    made.setObjectName(f"dock {name}")
    made.setAccessibleName(name)
    made.setTitleBarWidget(_title(made, name, theme))
    if scroll:
        area = QScrollArea()
        area.setWidget(content)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFrameShape(QFrame.Shape.NoFrame)
        made.setWidget(area)
    else:
        made.setWidget(content)
    if width:
        made.setMinimumWidth(width)
    return made


def _title(made: QDockWidget, name: str, theme: Theme) -> QWidget:
    title = QFrame()
    title.setProperty("role", "dock-title")
    close = IconButton(theme, "close", f"Hide {name} (View > Panels brings it back)")
    close.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    close.clicked.connect(made.hide)
    layout = row(label(name, "heading"), None, close)
    layout.setContentsMargins(GRID + 4, 4, 4, 4)
    title.setLayout(layout)
    return title
