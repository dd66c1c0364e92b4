"""Correct: the reader's hand on a mask."""

from __future__ import annotations

from collections.abc import Callable

from brainviewer.actions.action import Action, Menu
from brainviewer.actions.context import Context
from brainviewer.jobs.correcting import OPERATIONS
from brainviewer.panels.correct_bar import STEPS, VERDICTS

_STEP_KEYS = {
    "fill": ("L",),
    "remove_island": ("Shift+K",),
    "keep_island": ("K",),
    "grow": ("+", "="),
    "shrink": ("-",),
    "smooth": ("S",),
}
_VERDICT_TEXTS = {
    "accept": ("Accept slice", ("Return", "Enter")),
    "confirm": ("Automatic mask is right", ("V",)),
    "reject": ("Slice is healthy", ("Backspace", "Delete")),
    "reopen": ("Reopen slice", ("Shift+V",)),
}


def menu(at: Context) -> Menu:
    """The Correct menu."""
    workspace = Action(
        "correct.workspace",
        "Correct workspace",
        "Correct the mask of a run",
        lambda: at.workspaces.choose("Correct"),
        ("Ctrl+3",),
        checked=lambda: at.workspaces.chosen == "Correct",
    )
    begin = Action(
        "correct.begin",
        "Begin from the run in view",
        "Correct its mask at the present threshold; the automatic mask is kept as it is",
        at.correct.begin,
        enabled=lambda: at.correct.active and bool(at.correct.runs) and not at.correct.correcting.busy,
    )
    train = Action(
        "correct.train",
        "Train workspace",
        "Let a model learn from the corrections",
        lambda: at.workspaces.choose("Train"),
        ("Ctrl+4",),
        checked=lambda: at.workspaces.chosen == "Train",
    )
    return Menu(
        "C&orrect",
        (
            workspace,
            begin,
            train,
            None,
            *_undo(at),
            None,
            *_brush(at),
            None,
            *_steps(at),
            None,
            *_verdicts(at),
            None,
            *_next(at),
            None,
            *_files(at),
        ),
    )


def _undo(at: Context) -> tuple[Action, ...]:
    def known(what: str) -> Callable[[], bool]:
        return lambda: at.correct.ready and bool(getattr(at.correct.correction, what))

    undo, redo = at.correct.correcting.undo, at.correct.correcting.redo
    return (
        Action("correct.undo", "Undo", "Take back the last step", undo, ("Ctrl+Z",), known("undo_text")),
        Action(
            "correct.redo", "Redo", "Bring back what was undone", redo, ("Ctrl+Y", "Ctrl+Shift+Z"), known("redo_text")
        ),
    )


def _brush(at: Context) -> tuple[Action, ...]:
    desk, tool = at.correct, at.tool

    def active() -> bool:
        return desk.active and desk.correction is not None

    def solid() -> None:
        tool.solid = not tool.solid

    return (
        Action(
            "correct.brush", "Brush", "Paint with the left button; hold Ctrl to erase", lambda: desk.hold("brush"),
            ("B",), active, lambda: tool.paint == "brush",
        ),
        Action(
            "correct.eraser", "Eraser", "Erase with the left button", lambda: desk.hold("eraser"),
            ("E",), active, lambda: tool.paint == "eraser",
        ),
        Action("correct.larger", "Larger brush", "A quarter more", lambda: desk.resize(True), ("]",), active),
        Action("correct.smaller", "Smaller brush", "A fifth less", lambda: desk.resize(False), ("[",), active),
        Action(
            "correct.solid", "3D", "Spheres, and steps on the whole mask", solid, ("D",), active, lambda: tool.solid
        ),
        Action(
            "correct.guide", "Next guide of the brush", "Paint everywhere, only on the heatmap, only alike tissue",
            desk.next_guide, ("G",), active,
        ),
    )  # fmt: skip


def _steps(at: Context) -> tuple[Action, ...]:
    desk = at.correct

    def ready() -> bool:
        return desk.ready

    steps = tuple(
        Action(
            f"correct.{name}", text, STEPS[name][1].partition(" (")[0],
            lambda name=name: desk.operate(name), _STEP_KEYS[name], ready,  # type: ignore[misc]
        )
        for name, text in OPERATIONS.items()
    )  # fmt: skip
    return (
        *steps,
        Action(
            "correct.interpolate", "Interpolate", "Make the slices between the decided ones around this slice",
            desk.interpolate, ("N",), ready,
        ),
        Action(
            "correct.copy_on", "Copy to the next slice", "Copy this slice's mask to the next slice and go there",
            lambda: desk.copy(1), ("P",), ready,
        ),
        Action(
            "correct.copy_back", "Copy to the slice before", "Copy this slice's mask to the one before and go there",
            lambda: desk.copy(-1), ("Shift+P",), ready,
        ),
    )  # fmt: skip


def _verdicts(at: Context) -> tuple[Action, ...]:
    desk = at.correct
    return tuple(
        Action(
            f"correct.{verdict}",
            _VERDICT_TEXTS[verdict][0],
            tip.partition(" (")[0],
            lambda verdict=verdict: desk.say(verdict),  # type: ignore[misc]
            _VERDICT_TEXTS[verdict][1],
            lambda: desk.ready,
            # Lists and fields need Enter and Backspace themselves.
            scope="images",
        )
        for verdict, (_, tip) in VERDICTS.items()
    )


def _next(at: Context) -> tuple[Action, ...]:
    desk = at.correct
    return (
        Action(
            "correct.next_uncertain", "Next uncertain slice",
            "Go to the undecided slice closest to the threshold, or that the runs disagree about most",
            desk.next_uncertain, ("U",), lambda: desk.active and desk.correction is not None,
        ),
        Action(
            "correct.next_case", "Next case", "Open the most uncertain study of the library that you did not correct",
            desk.next_case, ("Shift+U",), lambda: desk.active,
        ),
    )  # fmt: skip


def _files(at: Context) -> tuple[Action, ...]:
    desk, files = at.correct, at.correct.files

    def corrected() -> bool:
        return desk.active and desk.correction is not None

    def active() -> bool:
        return desk.active and at.session.complete

    return (
        Action(
            "correct.export", "Export corrections ...", "NIfTI with slice states, or a DICOM segmentation",
            files.choose_export, enabled=corrected,
        ),
        Action(
            "correct.import", "Import corrections ...", "Corrections of another reader on the series in view",
            files.choose_import, enabled=active,
        ),
        Action(
            "correct.agree", "Agreement of readers", "Dice and kappa on the slices two readers decided",
            files.agree, enabled=active,
        ),
        Action("correct.reader", "Reader ...", "Who corrects masks here", files.choose_reader),
    )  # fmt: skip
