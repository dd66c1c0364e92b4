"""`brainviewer info PATH`: what a folder, file or archive holds, without opening a window."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from brainviewer.study import Series, Study

# Letters of the patient directions: R-L, A-P, S-I, as (towards +, towards -) of RAS.
LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))


@dataclass(frozen=True, slots=True)
class Geometry:
    """Voxel sizes in mm along (i, j, k), and the patient direction each axis runs towards."""

    spacing_mm: tuple[float, ...]
    directions: str

    @classmethod
    def of(cls, series: Series) -> Geometry:
        """Geometry of a series, read off its affine."""
        columns = [[series.affine[row][axis] for row in range(3)] for axis in range(3)]
        letters = ""
        for column in columns:
            nearest = max(range(3), key=lambda row: abs(column[row]))
            letters += LETTERS[nearest][column[nearest] < 0]
        return cls(tuple(round(math.hypot(*column), 4) for column in columns), letters)


def info(
    path: Annotated[Path, typer.Argument(help="A DICOM folder, file, DICOMDIR or ZIP, a NIfTI file or a picture.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print facts for scripts.")] = False,
) -> None:
    """Print the studies and series found, their geometry, and what is odd about them."""
    from brainviewer import reading
    from engines import KnownError

    try:
        studies = reading.scan([path])
    except KnownError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps({"path": str(path), "studies": [_facts(study) for study in studies]}, indent=2))
        return
    _print(studies)


def _facts(study: Study) -> dict[str, Any]:
    return {
        "uid": study.uid,
        "title": study.title,
        "date": study.date,
        "problems": list(study.problems),
        "series": [_series_facts(series) for series in study.series],
    }


def _series_facts(series: Series) -> dict[str, Any]:
    geometry = Geometry.of(series)
    return {
        "uid": series.uid,
        "title": series.title,
        "modality": series.modality,
        "kind": series.kind,
        "shape": list(series.shape),
        "spacing_mm": list(geometry.spacing_mm) if series.calibrated else None,
        "directions": geometry.directions,
        "affine": [list(row) for row in series.affine],
        "calibrated": series.calibrated,
        "window": list(series.window) if series.window else None,
        "files": len(series.files),
        "warnings": list(series.warnings),
    }


def _print(studies: list[Study]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    for study in studies:
        table = Table(title=escape(f"{study.title}  {study.date}".strip()), title_justify="left", title_style="bold")
        for heading in ("Series", "Modality", "Voxels", "Spacing (mm)", "Axes"):
            table.add_column(heading)
        for series in study.series:
            geometry = Geometry.of(series)
            spacing = " x ".join(f"{size:.3g}" for size in geometry.spacing_mm) if series.calibrated else "not known"
            voxels = " x ".join(str(size) for size in series.shape)
            table.add_row(escape(series.title), series.modality or series.kind, voxels, spacing, geometry.directions)
        console.print(table)
        for sentence in dict.fromkeys(f"{one.title}: {text}" for one in study.series for text in one.warnings):
            console.print(f"[yellow]Warning[/] {escape(sentence)}", highlight=False)
        for sentence in study.problems:
            console.print(f"[yellow]Not read[/] {escape(sentence)}", highlight=False)
