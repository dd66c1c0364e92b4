"""Reports and exports of kept runs, made in the reading worker: plain arguments in, plain results out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from brainviewer.jobs.gathering import gather
from brainviewer.jobs.tasks import Detection
from brainviewer.storage import audit, corrections, models, runs
from brainviewer.study import Series, Study
from brainviewer.study.material import Material
from engines import AnomalyResult, BadInput, KnownError, PercentileScale, Provenance, Report, silent

if TYPE_CHECKING:
    from brainviewer.report.contents import Contents

Paper = Literal["A4", "Letter"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a report or an export is made of.

    keys: of kept runs of the study. threshold: healthy percentile. identifiers: name the patient in a report.
    """

    study: Study
    keys: tuple[str, ...]
    threshold: float = 99.0
    impression: str = ""
    notes: str = ""
    identifiers: bool = False
    paper: Paper = "A4"


# The runs of the last wish: changing a word of the impression should not read them again.
_last: dict[tuple[str, tuple[str, ...], float, float], list[Material]] = {}


def preview(wish: Wish, dots_per_inch: int, report: Report = silent) -> list[NDArray[np.uint8]]:
    """The report's pages as pictures, uint8 (rows, columns, 3)."""
    from brainviewer.report import pdf

    return pdf.pages(_contents(wish, report), wish.paper, dots_per_inch)


def save_report(wish: Wish, path: Path, report: Report = silent) -> Path:
    """The report as PDF or HTML, by the file's ending."""
    from brainviewer.report import application, html, pdf
    from brainviewer.storage.files import write_whole

    application.ensure()
    contents = _contents(wish, report)
    as_page = path.suffix.lower() in (".html", ".htm")
    write_whole(path, html.render(contents).encode() if as_page else pdf.render(contents, wish.paper))
    audit.note("report", wish.study.uid, forms=[path.suffix.lower()], identifiers=wish.identifiers)
    return path


def export_runs(
    wish: Wish, formats: Sequence[str], out: Path, deidentify: bool, report: Report = silent
) -> tuple[list[Path], list[str]]:
    """Files of all runs in these formats, and what the user must hear about them."""
    from brainviewer import export
    from brainviewer.export.deidentify import Deidentifier
    from brainviewer.export.dicom_source import patient_of
    from brainviewer.export.order import Order
    from brainviewer.report import pdf
    from brainviewer.storage import secret

    hide = Deidentifier(secret.key(), patient_of(wish.study)) if deidentify else None
    written: list[Path] = []
    warnings: list[str] = []
    for material in _materials(wish, report):
        order = Order(material, hide, lambda: pdf.render(_contents(wish, report), wish.paper), report)
        written += export.write(order, formats, out)
        warnings += order.warnings
        audit.note("export", wish.study.uid, engine=material.engine, formats=list(formats), deidentified=deidentify)
    return written, list(dict.fromkeys(warnings))


def send(files: Sequence[Path], archive: str, report: Report = silent) -> str:
    """Send the DICOM files among these to a saved archive; returns a sentence about it."""
    from brainviewer import pacs
    from brainviewer.pacs import sending
    from brainviewer.storage import nodes

    node = nodes.find(archive)
    objects = sending.dicom_files([path for path in files if path.suffix == ".dcm"])
    sent = pacs.connect(node).send(objects, report)
    for study, count in sending.studies_of(objects).items():
        audit.note("send", study, to=node.place, objects=count)
    if sent.refused:
        raise KnownError(f"{node.name} refused {len(sent.refused)} of {len(objects)} objects. {sent.refused[0]}")
    return f"{node.name} has {len(objects)} objects, {sent.arrived} of them new."


def _contents(wish: Wish, report: Report) -> Contents:
    from brainviewer.jobs import reporting
    from brainviewer.reading.dicom_person import rows_of
    from brainviewer.report.contents import Person

    person = Person(rows_of(wish.study)) if wish.identifiers else None
    known = models.find()[0]
    return reporting.contents(_materials(wish, report), known, person, wish.impression, wish.notes, report)


def _materials(wish: Wish, report: Report) -> list[Material]:
    name = (wish.study.uid, wish.keys, wish.threshold, _edition(wish))
    if name not in _last:
        _last.clear()
        _last[name] = [_gather(wish, key, report) for key in wish.keys]
    return _last[name]


def _edition(wish: Wish) -> float:
    """Changes whenever a correction of the study does."""
    own = (one for series in wish.study.series for one in corrections.of_series(series.uid))
    journals = (corrections.folder(one) / corrections.JOURNAL for one in own)
    return sum(path.stat().st_mtime for path in journals if path.exists())


def _gather(wish: Wish, key: str, report: Report) -> Material:
    folder = runs.folder(key)
    if not (folder / "result.json").exists():
        raise KnownError("A run is still being stored.", "Try again in a moment.")
    own = [one for series in wish.study.series for one in corrections.of_series(series.uid) if one.run == key]
    return gather(folder, wish.study, wish.threshold, own[0] if own else None, report=report)


def read_map(path: Path, series: Series, slice_axis: int) -> Detection:
    """A parametric map of healthy percentiles as something the views can show, on the series' grid.

    It knows no slice scores and no model. Raises BadInput for maps of other values: without a scale of healthy tissue
    their numbers mean nothing here.
    """
    from brainviewer.reading.dicom_layers import read_layers

    layers = [layer for layer in read_layers(path, series) if layer.kind == "map"]
    if not layers or layers[0].unit != "%":
        raise BadInput(
            f"{path.name} is no map of healthy percentiles.", "BrainViewer exports one as ENGINE_percentiles.dcm."
        )
    values = layers[0].values
    if not values.any():
        raise BadInput(f"No part of {path.name} lies inside the series in view.", "It may belong to another scan.")
    others = tuple(axis for axis in range(3) if axis != slice_axis)
    unknown = np.full(series.shape[slice_axis], np.nan, np.float32)
    ends = np.array([0.0, 100.0])
    how = Provenance("", layers[0].algorithm or path.stem, "", {}, "", "", 0.0, series.uid)
    result = AnomalyResult(
        values, PercentileScale(ends, ends), values > 0, slice_axis, values.max(axis=others), unknown,
        float("nan"), float("nan"), 99.0, how,
    )  # fmt: skip
    return Detection(result, values)
