"""What a command is, and how it becomes a menu entry with a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu, QWidget


def always() -> bool:
    """Commands that can be given at any time."""
    return True


@dataclass(frozen=True, slots=True)
class Action:
    """One command.

    id: "menu.verb", stable. text: in the menu. tip: one sentence. shortcuts: the first is shown in the menu.
    enabled: whether it can be given now. checked: for switches, whether it is on.
    scope: "window", or "images" for keys that lists and text fields need themselves (arrows, space).
    in_menu: False for the many small ones that live in the key sheet and the command palette only.
    """

    id: str
    text: str
    tip: str
    callback: Callable[[], object]
    shortcuts: tuple[str, ...] = ()
    enabled: Callable[[], bool] = always
    checked: Callable[[], bool] | None = None
    scope: Literal["window", "images"] = "window"
    in_menu: bool = True


@dataclass(frozen=True, slots=True)
class Menu:
    """A menu: actions, menus inside it, and None for a line between groups."""

    title: str
    entries: Sequence[Action | Menu | None] = field(default_factory=tuple)

    def actions(self) -> Iterator[Action]:
        """All actions, those of inner menus too."""
        for entry in self.entries:
            if isinstance(entry, Menu):
                yield from entry.actions()
            elif entry is not None:
                yield entry


class Commands:
    """The QActions of all menus; `window` gets their keys, `images` those that must not be taken from lists."""

    def __init__(self, menus: Sequence[Menu], window: QWidget, images: QWidget) -> None:
        self.menus = tuple(menus)
        self._window, self._images = window, images
        self._made: dict[str, tuple[Action, QAction]] = {}
        for menu in self.menus:
            for action in menu.actions():
                self._make(action)
        self.refresh()

    def _make(self, action: Action) -> None:
        made = QAction(action.text, self._window)
        made.setObjectName(action.id)
        made.setToolTip(action.tip)
        made.setStatusTip(action.tip)
        made.setShortcuts([QKeySequence(keys) for keys in action.shortcuts])
        made.setCheckable(action.checked is not None)
        on_images = action.scope == "images"
        context = Qt.ShortcutContext.WidgetWithChildrenShortcut if on_images else Qt.ShortcutContext.WindowShortcut
        made.setShortcutContext(context)
        made.triggered.connect(lambda _checked=False: self.run(action.id))
        (self._images if on_images else self._window).addAction(made)
        self._made[action.id] = (action, made)

    @property
    def actions(self) -> tuple[Action, ...]:
        """Every command, in the order of the menus."""
        return tuple(action for action, _ in self._made.values())

    def qaction(self, action_id: str) -> QAction:
        """Qt's side of a command."""
        return self._made[action_id][1]

    def run(self, action_id: str) -> None:
        """Give a command, if it can be given now."""
        action = self._made[action_id][0]
        if action.enabled():
            action.callback()
        self.refresh()

    def refresh(self) -> None:
        """Ask every command again whether it can be given and whether it is on."""
        for action, made in self._made.values():
            made.setEnabled(action.enabled())
            if action.checked is not None:
                made.setChecked(action.checked())

    def fill(self, target: QMenu, menu: Menu) -> None:
        """Put a menu's entries into a Qt menu; it is refreshed whenever it opens."""
        target.setToolTipsVisible(True)
        target.aboutToShow.connect(self.refresh)
        for entry in menu.entries:
            if entry is None:
                target.addSeparator()
            elif isinstance(entry, Menu):
                self.fill(target.addMenu(entry.title), entry)
            elif entry.in_menu:
                target.addAction(self.qaction(entry.id))
