"""`brainviewer repeat`: a stored run done again from its provenance, and compared with what is stored."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from brainviewer.commands.engines import AsJson, Device
from brainviewer.commands.outcome import known_trouble, tell

if TYPE_CHECKING:
    from engines.model_package import Model
    from engines.result import Provenance


def repeat(
    run: Annotated[Path, typer.Argument(help="Folder of a stored run (OUT/ENGINE of `detect`).")],
    path: Annotated[Path, typer.Argument(help="The scan it was made on.")],
    model: Annotated[str, typer.Option(help="Model folder or name; else the one with the stored digest.")] = "",
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Do a stored run again and say whether the result is the same; exit status 1 where it differs."""
    from brainviewer import reading
    from brainviewer.commands.matching import model_at
    from engines import BadInput, catalog, repeating, results
    from engines.terminal import progress

    with known_trouble():
        stored = results.read(run)
        how = stored.provenance
        chosen = model_at(model) if model else _with_digest(how)
        every = {series.uid: series for study in reading.scan([path]) for series in study.series}
        if how.volume_uid not in every:
            raise BadInput(f"{path} does not hold the series that the run was made on.", "Name the same scan.")
        with progress() as report:
            volume = reading.load(every[how.volume_uid], report)
            again = catalog.create(how.engine, chosen.folder, device).detect(volume, report)
        found = repeating.compare(stored, again)
        tell({**asdict(found), "same": found.same, "said": str(found)}, as_json)
    if not found.same:
        raise typer.Exit(1)


def _with_digest(how: Provenance) -> Model:
    from brainviewer.commands.matching import models_at_hand
    from engines import BadInput

    fitting = [model for model in models_at_hand() if model.card.digest == how.model_digest]
    if not fitting:
        raise BadInput(
            f"The model {how.model} ({how.model_digest[:12]}) is not at hand.", "Add it, or name another with --model."
        )
    return fitting[0]
