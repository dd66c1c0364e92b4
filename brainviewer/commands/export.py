"""`brainviewer export`: a run as NIfTI, BIDS, tables, pictures and DICOM objects, without opening a window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brainviewer.commands.engines import AsJson
from brainviewer.commands.outcome import known_trouble, note, tell
from brainviewer.export import EXPORTERS

if TYPE_CHECKING:
    from brainviewer.export.deidentify import Deidentifier
    from brainviewer.export.order import Order
    from brainviewer.storage.corrections import About
    from brainviewer.study import Study
    from engines import Report

Runs = Annotated[str, typer.Argument(metavar="RESULTS", help="Folder that `detect --out` wrote, or key of a kept run.")]
StudyPath = Annotated[Path | None, typer.Option("--study", help="The scan the run was made on.")]
Threshold = Annotated[float | None, typer.Option(min=50, max=99.99, help="Healthy percentile; else the run's own.")]


def export(
    results: Runs,
    formats: Annotated[list[str], typer.Option("--format", help=f"One of {', '.join(EXPORTERS)}; several times.")],
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    study: StudyPath = None,
    threshold: Threshold = None,
    mask: Annotated[Path | None, typer.Option(help="The mask as a reader corrected it, NIfTI.")] = None,
    reader: Annotated[str, typer.Option(help="Who corrected the mask.")] = "",
    correction: Annotated[
        list[str] | None, typer.Option(help="Key of a reader's correction, as `corrections list` tells it.")
    ] = None,
    deidentify: Annotated[
        bool, typer.Option("--deidentify", help="Take names, dates and identifiers out of DICOM objects.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write runs as files for other programs and for a hospital's archive."""
    from brainviewer import export as exporting
    from brainviewer import reading
    from brainviewer.commands import stored_runs
    from engines.terminal import progress

    for name in formats:
        if name not in EXPORTERS:
            raise typer.BadParameter(f"no format '{name}'; there are {', '.join(EXPORTERS)}", param_hint="--format")
    with known_trouble(), progress() as report:
        found = stored_runs.find(results, study)
        studies = reading.scan([found.study], report) if found.study is not None else []
        told = []
        for folder in found.folders:
            own = stored_runs.study_of(folder, studies) if studies else None
            corrected = mask or stored_runs.correction_of(folder, correction or [])
            order = _order(folder, own, threshold, corrected, reader, deidentify, report)
            told.append(_facts(order, exporting.write(order, formats, out)))
            study_uid = own.uid if own is not None else order.material.result.provenance.volume_uid
            note("export", study_uid, engine=order.material.engine, formats=formats, deidentified=deidentify)
    tell(told, as_json)


def _order(
    folder: Path,
    study: Study | None,
    threshold: float | None,
    corrected: Path | About | None,
    reader: str,
    deidentify: bool,
    report: Report,
) -> Order:
    from brainviewer.export.order import Order
    from brainviewer.jobs.gathering import gather

    material = gather(folder, study, threshold, corrected, reader, report)

    def document() -> bytes:
        from brainviewer.commands.report import known_models
        from brainviewer.jobs import reporting
        from brainviewer.report import pdf

        return pdf.render(reporting.contents([material], known_models(), report=report))

    return Order(material, deidentifier(study) if deidentify else None, document, report)


def deidentifier(study: Study | None) -> Deidentifier:
    """With this user's own key, for the patient of a study."""
    from brainviewer.export.deidentify import Deidentifier
    from brainviewer.export.dicom_source import patient_of
    from brainviewer.storage import secret

    return Deidentifier(secret.key(), patient_of(study) if study is not None else "")


def _facts(order: Order, files: list[Path]) -> dict[str, Any]:
    return {
        "engine": order.material.engine,
        "findings": len(order.material.findings),
        "deidentified": order.deidentifier is not None,
        "files": [str(path) for path in files],
        "warnings": order.warnings,
        "notice": "Research use only; not for diagnosis.",
    }
