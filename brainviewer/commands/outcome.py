"""How a command ends: 0 done, 1 known trouble in one clear line, 2 wrong usage (typer's own)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from brainviewer.storage.audit import What


@contextmanager
def known_trouble() -> Iterator[None]:
    """Known trouble becomes one line on standard error and exit status 1; anything else is a bug and stays one."""
    from engines import KnownError

    try:
        yield
    except KnownError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        typer.echo("Stopped.", err=True)
        raise typer.Exit(1) from error


def note(what: What, study_uid: str = "", **details: str | int | bool | list[str]) -> None:
    """Add to the audit trail what was done; where that fails it is done all the same, and said."""
    from brainviewer.storage import audit
    from engines import KnownError

    try:
        audit.note(what, study_uid, **details)
    except KnownError as error:
        typer.echo(f"Not in the audit trail: {error}", err=True)


def tell(facts: Any, as_json: bool) -> None:
    """Print facts as JSON for scripts, or as `name: value` lines for people."""
    if as_json:
        typer.echo(json.dumps(facts, indent=2, default=str, allow_nan=False))
        return
    rows = facts if isinstance(facts, list) else [facts]
    typer.echo("\n\n".join(_lines(row) for row in rows))


def _lines(row: Mapping[str, Any]) -> str:
    return "\n".join(f"{name.replace('_', ' ')}: {_shown(value)}" for name, value in row.items())


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "; ".join(map(str, value)) or "-" if isinstance(value, list | tuple) else str(value)
