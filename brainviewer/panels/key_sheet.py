"""All keys and mouse buttons on one sheet (? or F1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialog, QGridLayout, QScrollArea, QWidget

from brainviewer.panels.parts import column, label
from brainviewer.panels.theme import GRID

if TYPE_CHECKING:
    from brainviewer.actions.action import Action, Commands

MOUSE = {
    "radiology": (
        ("Left drag", "Window: across = width, up and down = level"),
        ("Click", "Crosshair there"),
        ("Shift + left drag", "Crosshair"),
    ),
    "neuro": (
        ("Left drag, click", "Crosshair"),
        ("Shift + left drag", "Window: across = width, up and down = level"),
    ),
}
MOUSE_ALWAYS = (
    ("Shift + move", "Linked crosshair in all views"),
    ("Middle drag", "Pan"),
    ("Right drag", "Zoom"),
    ("Right click", "Menu"),
    ("Wheel", "Slices"),
    ("Ctrl + wheel", "Zoom"),
    ("Double click", "Maximise view, and back"),
    ("Drag in the slice scores", "Go to that slice"),
)


class KeySheet(QDialog):
    """Keys by menu on the left and in the middle, the mouse on the right."""

    def __init__(self, commands: Commands, scheme: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys and mouse")
        columns = QGridLayout()
        columns.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID * 2)
        columns.setHorizontalSpacing(GRID * 5)
        columns.setVerticalSpacing(GRID * 2)
        blocks = [(menu.title.replace("&", ""), _rows(tuple(menu.actions()))) for menu in commands.menus]
        blocks.append(("Mouse", [*MOUSE[scheme], *MOUSE_ALWAYS]))
        # The long View menu gets a column of its own.
        places = {"File": (0, 0), "View": (0, 1), "Analyse": (1, 0), "Help": (2, 0), "Mouse": (0, 2)}
        for title, rows in blocks:
            line, place = places[title]
            columns.addLayout(_block(title, rows), line, place, 3 if title in ("View", "Mouse") else 1, 1)
        content = QWidget()
        content.setLayout(columns)
        area = QScrollArea()
        area.setWidget(content)
        area.setWidgetResizable(True)
        self.setLayout(column(area))
        self.resize(1080, 680)


def _rows(actions: tuple[Action, ...]) -> list[tuple[str, str]]:
    rows = []
    for action in actions:
        keys = [QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText) for key in action.shortcuts]
        if keys and not action.id.startswith("view.preset_"):
            rows.append((", ".join(keys), action.text.rstrip(" .")))
        elif action.id == "view.preset_1":
            rows.append(("1 ... 9", "Window presets"))
    return rows


def _block(title: str, rows: list[tuple[str, str]]) -> QGridLayout:
    grid = QGridLayout()
    grid.setHorizontalSpacing(GRID * 2)
    grid.setVerticalSpacing(4)
    grid.addWidget(label(title, "caption"), 0, 0, 1, 2)
    for number, (key, text) in enumerate(rows, 1):
        grid.addWidget(label(key, "heading"), number, 0)
        grid.addWidget(label(text), number, 1)
    grid.setRowStretch(len(rows) + 1, 1)
    grid.setColumnStretch(1, 1)
    return grid
