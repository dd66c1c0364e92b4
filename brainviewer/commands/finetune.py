"""`brainviewer finetune`: a model learns from readers' corrections; the old one stays unless the new is better."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brainviewer.commands.engines import AsJson, Device
from brainviewer.commands.outcome import known_trouble, tell

if TYPE_CHECKING:
    from engines.corrections import CorrectedVolume
    from engines.finetuning import Tuned


def finetune(
    model: Annotated[str, typer.Argument(help="Model folder or name.")],
    corrections: Annotated[
        list[Path],
        typer.Option(help="Folder of exported corrections, or a scan that was corrected here; several times."),
    ],
    cohort: Annotated[Path, typer.Option(help="CSV file of the training: slices nobody corrected, healthy ones.")],
    out: Annotated[Path, typer.Option(help="Folder for the new model, if it is better.")],
    seed: Annotated[int, typer.Option(help="Of all random numbers; the same gives the same model on a CPU.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training in OUT.")] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Learn from corrections. Exit status 1 and no new model where the changed one is not better."""
    from brainviewer.commands.matching import model_at
    from engines import finetuning
    from engines.samples import read_cohort
    from engines.terminal import progress

    with known_trouble():
        found, table = model_at(model), read_cohort(cohort)
        with tempfile.TemporaryDirectory() as folder, progress() as report:
            read = _read(corrections, Path(folder))
            tuned = finetuning.finetune(
                found.folder, read, table, out, device=device, seed=seed, resume=resume, report=report
            )
        tell(_facts(tuned, len(read)), as_json)
    if tuned.model is None:
        typer.echo(tuned.verdict.reason, err=True)
        raise typer.Exit(1)


def _read(places: list[Path], scratch: Path) -> list[CorrectedVolume]:
    from engines import corrections as exchange

    found = []
    for number, place in enumerate(places):
        if place.is_dir() and any(place.glob("*_mask.nii.gz")):
            found += exchange.read(place)
        else:
            found += _stored(place, scratch / str(number))
    return found


def _stored(scan: Path, folder: Path) -> list[CorrectedVolume]:
    """The corrections in this user's library of a scan's series, each reader's newest."""
    from brainviewer import reading
    from brainviewer.jobs.correction_exchange import export_nifti
    from brainviewer.storage import corrections as stored
    from engines import BadInput
    from engines import corrections as exchange

    for study in reading.scan([scan]):
        for series in study.series:
            newest = {about.reader: about for about in reversed(stored.of_series(series.uid))}
            for about in newest.values():
                export_nifti(stored.folder(about), folder, reading.load(series))
    if not folder.is_dir():
        raise BadInput(f"{scan} holds no exported corrections and was not corrected here.", "Export them first.")
    return exchange.read(folder)


def _facts(tuned: Tuned, corrections: int) -> dict[str, Any]:
    return {
        "accepted": tuned.verdict.accepted,
        "reason": tuned.verdict.reason,
        "model": str(tuned.model) if tuned.model else None,
        "corrections": corrections,
        "slices": tuned.record["slices"],
        "held_out_slices": tuned.record["held_out_slices"],
        "before": asdict(tuned.before),
        "after": asdict(tuned.after),
        "seconds": tuned.record["seconds"],
        "notice": "Research use only; not for diagnosis.",
    }
