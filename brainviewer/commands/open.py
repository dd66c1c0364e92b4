"""`brainviewer [PATH...]`: open the viewer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def open_viewer(
    paths: Annotated[list[Path] | None, typer.Argument(metavar="[PATH]...", help="Folders, files or ZIPs.")] = None,
) -> None:
    """Open the viewer; this is what happens without a command too."""
    from brainviewer.commands.outcome import known_trouble
    from engines import BadInput

    with known_trouble():
        for path in paths or []:
            if not path.exists():
                raise BadInput(f"There is no file or folder {path}.", "Check the path.")
    from brainviewer.app import main

    raise typer.Exit(main(list(paths or [])))
