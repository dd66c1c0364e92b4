"""All menus of the window, in their order."""

from __future__ import annotations

from brainviewer.actions import analyse, compare, correct, file, help, report, view  # noqa: A004 - the menu is called Help
from brainviewer.actions.action import Menu
from brainviewer.actions.context import Context


def menus(at: Context) -> tuple[Menu, ...]:
    """File, View, Analyse, Compare, Correct, Report, Help."""
    return tuple(one.menu(at) for one in (file, view, analyse, compare, correct, report, help))
