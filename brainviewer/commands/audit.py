"""`brainviewer audit show | verify`: who opened, ran, edited, exported and sent what."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from brainviewer.commands.engines import AsJson
from brainviewer.commands.outcome import known_trouble, tell

audit = typer.Typer(help="The audit trail: what was opened, run, edited, exported and sent.", no_args_is_help=True)


@audit.command()
def show(
    study: Annotated[str, typer.Option(help="Only entries of the study with this UID.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write the trail to this CSV file.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the trail, oldest first."""
    from brainviewer.storage import audit as trail
    from brainviewer.storage.files import write_whole

    with known_trouble():
        found = trail.entries(study)
        if out is not None:
            write_whole(out, trail.as_csv(found))
            tell({"entries": len(found), "file": str(out)}, as_json)
        elif as_json:
            tell([asdict(one) | {"details": json.loads(one.details)} for one in found], as_json)
        else:
            for one in found:
                typer.echo(
                    f"{one.number:>5}  {one.time}  {one.who:<10}  {one.what:<7} {one.study[:12]:<13} {one.details}"
                )


@audit.command()
def verify(as_json: AsJson = False) -> None:
    """Check that no entry was changed, removed or added afterwards; status 1 where one was."""
    from brainviewer.storage import audit as trail

    with known_trouble():
        verdict = trail.verify()
        tell(
            {"entries": verdict.entries, "last_digest": verdict.head, "sound": not verdict.problem,
             "problem": verdict.problem or None},
            as_json,
        )  # fmt: skip
    if verdict.problem:
        raise typer.Exit(1)
