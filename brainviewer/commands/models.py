"""`brainviewer models list | show | add | remove | verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brainviewer.commands.outcome import known_trouble, tell

if TYPE_CHECKING:
    from engines.model_package import Model

models = typer.Typer(help="Trained models: list, show, add, remove, verify.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print facts for scripts.")]
Reference = Annotated[str, typer.Argument(help="Model folder, its name, or the beginning of its digest.")]


@models.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models at hand, and the damaged ones with their fault."""
    from brainviewer.commands.matching import models_at_hand
    from brainviewer.storage import models as stored

    with known_trouble():
        found = [_facts(model) for model in models_at_hand()]
        for fault in stored.find()[1]:
            typer.echo(str(fault), err=True)
        if found or as_json:
            tell(found, as_json)
        else:
            typer.echo("There are no models yet. Train one with `brainviewer train`, or add one with `models add`.")


@models.command()
def show(model: Reference, as_json: AsJson = False) -> None:
    """Show a model's card: data, figures, intended use, limits."""
    from brainviewer.commands.matching import model_at

    with known_trouble():
        card = model_at(model).card
        if as_json:
            tell(card.model_dump(mode="json"), as_json)
        else:
            typer.echo(card.readme())


@models.command()
def add(
    source: Annotated[Path, typer.Argument(help="Model folder or ZIP file of one.")], as_json: AsJson = False
) -> None:
    """Copy a model, checked, among yours."""
    from brainviewer.storage.folders import models_dir
    from engines import model_import

    with known_trouble():
        tell(_facts(model_import.add(source, models_dir())), as_json)


@models.command()
def remove(model: Reference, as_json: AsJson = False) -> None:
    """Delete a model you added or trained; bundled ones stay."""
    from brainviewer.commands.matching import model_at
    from brainviewer.storage.folders import models_dir
    from engines import model_import

    with known_trouble():
        found = model_at(model)
        model_import.remove(found.folder, models_dir())
        tell({"removed": str(found.folder)}, as_json)


@models.command()
def verify(
    model: Annotated[list[str] | None, typer.Argument(help="Models to check; all if none is named.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check every file of models against the digests in their cards; exit status 1 if one is damaged."""
    from brainviewer.commands.matching import model_at, models_at_hand
    from brainviewer.storage import models as stored
    from engines import BadModel, model_package

    rows, faults = [], [] if model else [str(fault) for fault in stored.find()[1]]
    with known_trouble():
        for found in [model_at(one) for one in model] if model else models_at_hand():
            try:
                model_package.verify(found.folder)
                rows.append({**_facts(found), "sound": True})
            except BadModel as fault:
                faults.append(str(fault))
        tell(rows, as_json)
        if faults:
            raise BadModel("\n".join(faults))


def _facts(model: Model) -> dict[str, Any]:
    card = model.card
    return {
        "name": f"{card.name} {card.version}",
        "engine": card.engine,
        "modality": card.modality,
        "digest": card.digest[:16],
        "folder": str(model.folder),
    }
