"""`brainviewer report`: what engines found in a study, as PDF or HTML, without opening a window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from brainviewer.commands.engines import AsJson
from brainviewer.commands.outcome import known_trouble, note, tell

if TYPE_CHECKING:
    from brainviewer.report.contents import Contents, Person
    from brainviewer.study import Study
    from engines.model_package import Model

ENDINGS = (".pdf", ".html")


def report(
    path: Annotated[Path, typer.Argument(help="The scan the runs were made on.")],
    results: Annotated[str, typer.Option(help="Folder that `detect --out` wrote, or key of a kept run.")],
    out: Annotated[list[Path], typer.Option(help="File to write, .pdf or .html; several times.")],
    paper: Annotated[Literal["A4", "Letter"], typer.Option(help="Size of the PDF's pages.")] = "A4",
    threshold: Annotated[float | None, typer.Option(min=50, max=99.99, help="Healthy percentile.")] = None,
    identifiers: Annotated[
        bool, typer.Option("--identifiers", help="Write the patient's name, ID and dates; else none of them.")
    ] = False,
    correction: Annotated[
        list[str] | None, typer.Option(help="Key of a reader's correction, as `corrections list` tells it.")
    ] = None,
    impression: Annotated[str, typer.Option(help="What the reader concludes.")] = "",
    notes: Annotated[str, typer.Option(help="Further notes.")] = "",
    as_json: AsJson = False,
) -> None:
    """Write a report of runs on a study."""
    from brainviewer import reading
    from brainviewer.commands import stored_runs
    from brainviewer.jobs import reporting
    from brainviewer.jobs.gathering import gather
    from engines.terminal import progress

    for one in out:
        if one.suffix.lower() not in ENDINGS:
            raise typer.BadParameter(f"{one.name} ends neither with .pdf nor .html", param_hint="--out")
    with known_trouble(), progress() as told:
        found = stored_runs.find(results, path)
        studies = reading.scan([path], told)
        own = [stored_runs.study_of(folder, studies) for folder in found.folders]
        materials = [
            gather(folder, study, threshold, stored_runs.correction_of(folder, correction or []), report=told)
            for folder, study in zip(found.folders, own, strict=True)
        ]
        person = person_of(own[0]) if identifiers else None
        contents = reporting.contents(materials, known_models(), person, impression, notes, told)
        for one in out:
            write(contents, one, paper)
        note("report", own[0].uid, forms=[one.suffix for one in out], identifiers=identifiers)
    facts = {"files": [str(one) for one in out], "runs": [part.title for part in contents.runs]}
    tell({**facts, "identifiers": identifiers, "notice": "Research use only; not for diagnosis."}, as_json)


def write(contents: Contents, out: Path, paper: Literal["A4", "Letter"]) -> None:
    """One file, whole or not at all."""
    from brainviewer.report import application, html, pdf
    from brainviewer.storage.files import write_whole

    application.ensure()
    made = pdf.render(contents, paper) if out.suffix.lower() == ".pdf" else html.render(contents).encode("utf-8")
    write_whole(out, made)


def person_of(study: Study) -> Person:
    """What the scan says about its patient; nothing for a scan that is no DICOM."""
    from brainviewer.reading.dicom_person import rows_of
    from brainviewer.report.contents import Person

    return Person(rows_of(study))


def known_models() -> list[Model]:
    """Models whose cards the report may quote."""
    from brainviewer.storage import models

    return models.find()[0]
