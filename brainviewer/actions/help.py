"""Help: keys, commands, where the logs are, what this program is."""

from __future__ import annotations

from brainviewer.actions.action import Action, Menu
from brainviewer.actions.context import Context


def menu(at: Context) -> Menu:
    """The Help menu."""
    window = at.window
    return Menu(
        "&Help",
        (
            Action(
                "help.keys", "Keys and mouse", "All keys and mouse buttons on one sheet", window.show_keys, ("F1", "?")
            ),
            Action(
                "help.commands",
                "Find a command ...",
                "Type a few letters of what you want to do",
                window.show_commands,
                ("Ctrl+K",),
            ),
            None,
            Action(
                "help.audit",
                "Audit trail ...",
                "What was opened, run, edited, exported and sent, and whether the record is whole",
                window.show_audit,
            ),
            Action("help.logs", "Open the log folder", "Crash reports, without names of patients", window.open_logs),
            Action("help.about", "About BrainViewer", "Version, libraries, intended use", window.show_about),
        ),
    )
