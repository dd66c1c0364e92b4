"""All keys and mouse buttons on one sheet (? or F1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialog, QGridLayout, QScrollArea, QWidget

from brainviewer.panels.parts import column, label, row
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
    ("Brush: left drag", "Paint or erase a mask"),
    ("Brush: Ctrl + drag", "The other way round"),
    ("Brush: Shift + wheel", "Size of the brush"),
)


class KeySheet(QDialog):
    """Keys by menu on the left and in the middle, the mouse and correcting on the right."""

    def __init__(self, commands: Commands, scheme: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys and mouse")
        blocks = {menu.title.replace("&", ""): _rows(tuple(menu.actions())) for menu in commands.menus}
        blocks["Mouse"] = [*MOUSE[scheme], *MOUSE_ALWAYS]
        # The View menu is as long as most others together, and Correct belongs to the mouse.
        left = [_block(title, rows) for title, rows in blocks.items() if title not in ("View", "Mouse", "Correct")]
        columns = row(
            column(*left, None, spacing=GRID * 3),
            column(_block("View", blocks["View"]), None),
            column(_block("Mouse", blocks["Mouse"]), _block("Correct", blocks["Correct"]), None, spacing=GRID * 3),
            None,
            margin=GRID * 3,
            spacing=GRID * 6,
        )
        content = QWidget()
        content.setLayout(columns)
        area = QScrollArea()
        area.setWidget(content)
        area.setWidgetResizable(True)
        self.setLayout(column(area, margin=1))
        self.resize(1120, 820)


def _rows(actions: tuple[Action, ...]) -> list[tuple[str, str]]:
    keys_of: dict[str, list[str]] = {}
    for action in actions:
        text = "Window presets" if action.id.startswith("view.preset_") else action.text.rstrip(" .")
        native = QKeySequence.SequenceFormat.NativeText
        keys_of.setdefault(text, []).extend(QKeySequence(key).toString(native) for key in action.shortcuts)
    rows = {text: ", ".join(keys) for text, keys in keys_of.items() if keys}
    if "Window presets" in rows:
        rows["Window presets"] = "1 ... 9"
    return [(keys, text) for text, keys in rows.items()]


def _block(title: str, rows: list[tuple[str, str]]) -> QGridLayout:
    grid = QGridLayout()
    grid.setHorizontalSpacing(GRID * 2)
    grid.setVerticalSpacing(4)
    grid.addWidget(label(title, "caption"), 0, 0, 1, 2)
    for number, (keys, text) in enumerate(rows, 1):
        grid.addWidget(label(keys, "heading"), number, 0)
        grid.addWidget(label(text), number, 1)
    grid.setColumnStretch(1, 1)
    return grid
