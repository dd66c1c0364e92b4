"""The command line. Each command lives in brainviewer.commands; here they are only mounted.

A first word that is no command is a path to open: `brainviewer scan.nii.gz` means `brainviewer open scan.nii.gz`.
"""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import brainviewer
from brainviewer.commands import (
    audit,
    compare,
    corrections,
    demo,
    doctor,
    engines,
    export,
    finetune,
    info,
    models,
    pacs,
    quality,
    repeat,
    report,
)
from brainviewer.commands import open as opening

OPEN = "open"


class OpenByDefault(TyperGroup):
    """Commands as usual; anything else is handed to `open`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `open` in front of paths, and ask back when a word is neither a path nor a command."""
        if not args:
            args = [OPEN]
        elif not args[0].startswith("-") and args[0] not in self.commands:
            self._refuse_mistyped_command(args[0])
            args = [OPEN, *args]
        return super().parse_args(ctx, args)

    def _refuse_mistyped_command(self, word: str) -> None:
        near = difflib.get_close_matches(word, self.commands, n=1)
        if near and not Path(word).exists():
            raise typer.BadParameter(f"There is no file and no command '{word}'. Did you mean '{near[0]}'?")


app = typer.Typer(
    cls=OpenByDefault,
    help="A radiology viewer that shows what in a brain scan does not belong. Research use only.",
    epilog="`brainviewer PATH...` opens a folder, file or ZIP.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"BrainViewer {brainviewer.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Version.")] = False,
) -> None:
    """A radiology viewer that shows what in a brain scan does not belong. Research use only."""


app.command(OPEN)(opening.open_viewer)
for command in (
    demo.demo,
    doctor.doctor,
    info.info,
    engines.detect,
    compare.compare,
    quality.quality,
    repeat.repeat,
    engines.train,
    finetune.finetune,
    engines.calibrate,
    engines.evaluate,
    export.export,
    report.report,
):
    app.command()(command)
app.add_typer(models.models, name="models")
app.add_typer(corrections.corrections, name="corrections")
app.add_typer(pacs.pacs, name="pacs")
app.add_typer(audit.audit, name="audit")


def main() -> None:
    """Entry point: known trouble is one line and status 1, wrong usage is status 2 (typer), a bug is a traceback."""
    from engines import KnownError

    try:
        app()
    except KnownError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
