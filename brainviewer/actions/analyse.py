"""Analyse: run engines and go to what they found."""

from __future__ import annotations

from brainviewer.actions.action import Action, Menu
from brainviewer.actions.context import Context


def menu(at: Context) -> Menu:
    """The Analyse menu."""
    return Menu(
        "&Analyse",
        (
            Action(
                "analyse.run",
                "Run the engine",
                "Look for what does not belong in the series in view",
                at.engines.run,
                ("Ctrl+R",),
                lambda: at.engines.can_run,
            ),
            Action(
                "analyse.run_all",
                "Run all engines",
                "Run every engine that has a model for the series in view, one after the other",
                at.engines.run_all,
                ("Ctrl+Shift+R",),
                at.engines.can_run_all,
            ),
            Action(
                "analyse.cancel",
                "Cancel",
                "Stop what is being worked on; else leave full view",
                at.window.cancel,
                ("Esc",),
            ),
            None,
            Action(
                "analyse.next_high",
                "Next high slice",
                "Go to the next slice above the threshold",
                lambda: at.strip.next_high(1),
                (".",),
                at.has_run,
            ),
            Action(
                "analyse.previous_high",
                "Previous high slice",
                "Go back to the slice above the threshold before this one",
                lambda: at.strip.next_high(-1),
                (",",),
                at.has_run,
            ),
            Action(
                "analyse.next_run",
                "Next run",
                "Show the heatmap of the next run on this series",
                at.session.next_run,
                ("M",),
                lambda: len(at.session.runs) > 1,
            ),
            None,
            Action(
                "analyse.add_model",
                "Add a model ...",
                "Copy a model, from its model.json or a ZIP file, into your models",
                at.window.add_model,
            ),
        ),
    )
