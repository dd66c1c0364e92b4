"""`brainviewer corrections`: readers' corrections in and out, and how far readers agree."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brainviewer.commands.engines import AsJson
from brainviewer.commands.outcome import known_trouble, tell

if TYPE_CHECKING:
    from brainviewer.storage.corrections import About
    from brainviewer.study import Series, Study

corrections = typer.Typer(help="Readers' corrections of masks: list, export, import, agree.", no_args_is_help=True)

Scan = Annotated[Path, typer.Argument(help="The scan: file, folder or ZIP.")]
OptionalScan = Annotated[Path | None, typer.Option("--study", help="The scan the corrections were made on.")]
SeriesUid = Annotated[str, typer.Option("--series", help="Series of the scan; else the only corrected or first one.")]


@corrections.command("list")
def list_corrections(as_json: AsJson = False) -> None:
    """Say what was corrected by whom."""
    from brainviewer.storage import corrections as stored

    with known_trouble():
        tell([_told(about) for about in stored.everything()], as_json)


def _told(about: About) -> dict[str, Any]:
    from brainviewer.storage import corrections as stored
    from brainviewer.study.mask_edit import STATE_NAMES

    correction = stored.load(stored.folder(about)).correction
    counts = correction.counts()
    return {
        "key": about.key,
        "series": about.series,
        "reader": about.reader,
        "began": f"{datetime.fromtimestamp(about.created):%Y-%m-%d %H:%M}",
        "run": about.title or "imported",
        "steps": len(correction.edits),
        **{name.replace("-", "_"): counts[state] for state, name in STATE_NAMES.items()},
    }


@corrections.command("export")
def export_corrections(
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    key: Annotated[list[str] | None, typer.Option("--key", help="Only these, as `list` names them.")] = None,
    study: OptionalScan = None,
    form: Annotated[str, typer.Option("--format", help="nifti or dicom-seg")] = "nifti",
    with_scan: Annotated[bool, typer.Option("--with-scan", help="Store the scan's voxels too, for training.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write corrections as NIfTI with their slice states, or as DICOM segmentations (SEMIAUTOMATIC)."""
    from brainviewer.storage import corrections as stored
    from engines import BadInput

    if form not in ("nifti", "dicom-seg"):
        raise typer.BadParameter("nifti or dicom-seg", param_hint="--format")
    if study is None and (with_scan or form == "dicom-seg"):
        raise typer.BadParameter("needed for DICOM and for --with-scan", param_hint="--study")
    with known_trouble():
        series = _series(study)
        abouts = [one for one in stored.everything() if not key or one.key in key]
        if study is not None:
            abouts = [one for one in abouts if one.series in series]
        if not abouts:
            raise BadInput("There are no such corrections.", "See `brainviewer corrections list`.")
        tell([_write(about, out, form, with_scan, series) for about in abouts], as_json)


def _series(study: Path | None) -> dict[str, tuple[Study, Series]]:
    from brainviewer import reading

    studies = reading.scan([study]) if study is not None else []
    return {series.uid: (one, series) for one in studies for series in one.series}


def _write(
    about: About, out: Path, form: str, with_scan: bool, series: dict[str, tuple[Study, Series]]
) -> dict[str, Any]:
    from brainviewer import reading
    from brainviewer.jobs import correction_exchange
    from brainviewer.storage import corrections as stored

    at = stored.folder(about)
    if form == "dicom-seg":
        files = correction_exchange.export_seg(at, series[about.series][0], out)
    else:
        scan = reading.load(series[about.series][1]) if with_scan else None
        files = [correction_exchange.export_nifti(at, out, scan)]
    return {"key": about.key, "reader": about.reader, "files": [str(path) for path in files]}


@corrections.command("import")
def import_corrections(
    files: Annotated[list[Path], typer.Argument(help="Exported JSON, NIfTI masks or DICOM segmentations.")],
    study: Annotated[Path, typer.Option("--study", help="The scan they were made on.")],
    uid: SeriesUid = "",
    reader: Annotated[str, typer.Option(help="Whose they are, where a file does not say.")] = "",
    as_json: AsJson = False,
) -> None:
    """Take in corrections of other readers, so that they can be pooled and compared."""
    from brainviewer.jobs import correction_exchange

    with known_trouble():
        chosen, series = _chosen(study, uid)
        abouts = [correction_exchange.take_in(path, chosen.uid, series, reader) for path in files]
        tell([{"key": about.key, "reader": about.reader, "series": about.series} for about in abouts], as_json)


@corrections.command("agree")
def agree_corrections(study: Scan, uid: SeriesUid = "", as_json: AsJson = False) -> None:
    """How far readers agree on the slices both decided: Dice and Cohen's kappa."""
    from brainviewer.jobs import correction_exchange
    from engines import BadInput

    with known_trouble():
        found = correction_exchange.agree(_chosen(study, uid)[1].uid)
        if not found:
            raise BadInput("Fewer than two readers corrected this series.", "Import another reader's corrections.")
        tell([_pair(pair) for pair in found], as_json)


def _pair(pair: Any) -> dict[str, Any]:
    found = pair.agreement
    return {
        "readers": [pair.first, pair.second],
        "slices": len(found.slices),
        "dice": _known(found.dice),
        "kappa": _known(found.kappa),
        "verdict_kappa": _known(found.verdict_kappa),
        "slice_dice": {str(n): _known(value) for n, value in zip(found.slices, found.slice_dice, strict=True)},
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _chosen(study: Path, uid: str) -> tuple[Study, Series]:
    from brainviewer.storage import corrections as stored
    from engines import BadInput

    found = _series(study)
    if not found:
        raise BadInput(f"There is no scan in {study}.")
    if uid:
        if uid not in found:
            raise BadInput(f"{study} has no series {uid}.", "See `brainviewer info`.")
        return found[uid]
    corrected = [one for one in found if stored.of_series(one)]
    return found[corrected[0] if corrected else next(iter(found))]
