"""From stored runs to the contents of a report. Runs in a worker or a command."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING

import brainviewer
from brainviewer.report.contents import Contents, CorrectionPart, Person, RunPart
from brainviewer.storage import corrections
from brainviewer.study import Study
from brainviewer.study.mask_edit import STATE_NAMES
from brainviewer.study.material import Material
from engines import KnownError, Report, silent

if TYPE_CHECKING:
    from engines.comparison import Pair
    from engines.model_package import Model

LIBRARIES = ("numpy", "scipy", "torch", "pydicom", "highdicom", "nibabel", "PySide6-Essentials", "vtk")


def contents(
    materials: Sequence[Material],
    models: Sequence[Model] = (),
    person: Person | None = None,
    impression: str = "",
    notes: str = "",
    report: Report = silent,
) -> Contents:
    """Everything a report of these runs says. models: where their cards are looked up by digest."""
    by_digest = {model.card.digest: model for model in models}
    runs = tuple(_part(one, by_digest.get(one.result.provenance.model_digest)) for one in materials)
    study = next((one.source.study for one in materials if one.source is not None), None)
    report(0, 1, "Comparing the runs")
    pairs, seen_by = _together(materials)
    return Contents(
        runs=runs,
        study=_pseudonym(materials),
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        series=study.series if study is not None else (),
        person=person,
        problems=len(study.problems) if study is not None else 0,
        pairs=pairs,
        seen_by=seen_by,
        corrections=_corrections(study),
        impression=impression,
        notes=notes,
        versions=versions(),
    )


def versions() -> tuple[tuple[str, str], ...]:
    """Programs that took part."""
    found = [("BrainViewer", brainviewer.__version__), ("Python", platform.python_version())]
    for name in LIBRARIES:
        try:
            found.append((name.removesuffix("-Essentials"), metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)


def _corrections(study: Study | None) -> tuple[CorrectionPart, ...]:
    """What readers did to masks of this study; a damaged correction is left out."""
    found = []
    for about in (one for series in study.series for one in corrections.of_series(series.uid)) if study else ():
        try:
            correction = corrections.load(corrections.folder(about)).correction
        except KnownError:
            continue
        counts = correction.counts()
        states = ", ".join(f"{counts[state]} {name}" for state, name in STATE_NAMES.items() if counts[state])
        began = f"{datetime.datetime.fromtimestamp(about.created, datetime.UTC):%Y-%m-%d %H:%M}"
        title = about.title or "an imported mask"
        found.append(CorrectionPart(about.reader or "unnamed", began, title, len(correction.edits), states))
    return tuple(found)


def _pseudonym(materials: Sequence[Material]) -> str:
    """A short name of the study that says nothing about the patient."""
    import hashlib

    first = materials[0]
    uid = first.source.study.uid if first.source is not None else first.result.provenance.volume_uid
    return hashlib.blake2b(uid.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest().upper()


def _part(material: Material, model: Model | None) -> RunPart:
    from engines import catalog

    how = material.result.provenance
    engines = catalog.cards()
    method = engines[how.engine].title if how.engine in engines else how.engine
    title = how.model if method in how.model else f"{method}: {how.model}"
    if model is None:
        return RunPart(material, title, limits="The card of its model is not at hand.")
    card = model.card
    data = "; ".join(f"{one.subjects} subjects of {one.cohort}" for one in card.training_data)
    calibration = f"Learned from {data}." if data else ""
    return RunPart(material, title, card.limits, card.intended_use, calibration)


def _together(
    materials: Sequence[Material],
) -> tuple[tuple[Pair, ...], dict[tuple[int, int], tuple[int, ...]]]:
    """Agreement of every two runs and who sees whose findings, on the grid of the first run."""
    if len(materials) < 2:
        return (), {}
    import numpy as np

    from engines import comparison, findings

    first = materials[0].volume
    maps, regions = [], []
    for one in materials:
        args = (one.volume.affine, first.shape, first.affine)
        maps.append(comparison.on_grid(one.percentiles, *args))
        regions.append(comparison.on_grid(one.result.region, *args, how="nearest"))
    pairs = tuple(comparison.pairs(maps, regions, materials[0].threshold))
    above = [values > one.threshold for values, one in zip(maps, materials, strict=True)]
    above = [marked & region for marked, region in zip(above, regions, strict=True)]
    seen_by: dict[tuple[int, int], tuple[int, ...]] = {}
    for run, one in enumerate(materials):
        labels = comparison.on_grid(one.labels, one.volume.affine, first.shape, first.affine, "nearest")
        sizes = np.bincount(labels.ravel(), minlength=256)
        marked_by = [np.bincount(labels[marked], minlength=256) for marked in above]
        for number in range(min(len(one.findings), 254)):
            least = findings.SHARED * max(sizes[number + 1], 1)
            others = (other for other in range(len(materials)) if other != run)
            seen_by[run, number] = tuple(other for other in others if marked_by[other][number + 1] >= least)
    return pairs, seen_by
