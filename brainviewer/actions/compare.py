"""Compare: runs beside each other."""

from __future__ import annotations

from brainviewer.actions.action import Action, Menu
from brainviewer.actions.context import Context
from brainviewer.panels.compare import MODES, Mode


def menu(at: Context) -> Menu:
    """The Compare menu."""
    return Menu("&Compare", (*_workspaces(at), None, *(_mode(at, mode) for mode in MODES)))


def _workspaces(at: Context) -> list[Action]:
    return [
        Action(
            f"compare.{name.lower()}",
            f"{name} workspace",
            tip,
            lambda name=name: at.workspaces.choose(name),  # type: ignore[misc]
            (keys,),
            checked=lambda name=name: at.workspaces.chosen == name,  # type: ignore[misc]
        )
        for name, tip, keys in (
            ("View", "The series in view with one heatmap", "Ctrl+1"),
            ("Compare", "Runs beside each other", "Ctrl+2"),
        )
    ]


def _mode(at: Context, mode: Mode) -> Action:
    text, tip = MODES[mode]

    def choose() -> None:
        at.compare.set_mode(mode)
        at.workspaces.choose("Compare")

    def chosen() -> bool:
        return at.workspaces.chosen == "Compare" and at.compare.mode == mode

    return Action(f"compare.{mode}", text, tip, choose, checked=chosen, enabled=lambda: bool(at.session.study_runs))
