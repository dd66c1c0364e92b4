"""Corrections in and out: files for other readers and for training, DICOM segmentations, agreement of readers.

Runs in a worker or a command.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brainviewer.storage import corrections, runs
from brainviewer.storage.correction_journal import Journal
from brainviewer.storage.correction_records import Event, Kind
from brainviewer.storage.corrections import JOURNAL, About, Loaded
from brainviewer.study import Series, Study
from brainviewer.study.agreement import Agreement, agreement
from brainviewer.study.correction import Correction
from brainviewer.study.mask_edit import STATE_NAMES, STATE_OF_NAME, SliceState
from engines import BadInput, Report, Volume, silent

if TYPE_CHECKING:
    from engines.corrections import CorrectedVolume

SAME_GRID_MM = 0.1
NIFTI, SEG = "nifti", "dicom-seg"


def write_nifti(loaded: Loaded, out: Path, scan: Volume | None = None, modality: str = "") -> Path:
    """Mask, automatic mask and slice states in a folder; with the scan, where one is given, for training."""
    from engines import corrections as exchange

    about, correction = loaded.about, loaded.correction
    corrected = exchange.CorrectedVolume(
        about.key,
        about.series,
        about.study,
        about.reader,
        correction.mask > 0,
        correction.automatic > 0,
        tuple(STATE_NAMES[SliceState(int(state))] for state in correction.states),
        about.slice_axis,
        np.array(about.affine),
        None,
        modality or (scan.modality if scan is not None else ""),
        about.engine,
        about.model_digest,
        None if math.isnan(about.percentile) else about.percentile,
        scan.calibrated if scan is not None else True,
    )
    return exchange.write(out, corrected, scan)


def export_nifti(at: Path, out: Path, scan: Volume | None = None) -> Path:
    """A stored correction as NIfTI."""
    return write_nifti(corrections.load(at), out, scan)


def export_seg(at: Path, study: Study, out: Path, report: Report = silent) -> list[Path]:
    """A stored correction as DICOM segmentation: SEMIAUTOMATIC, with the reader as its creator.

    It needs the run the correction began with, whose heatmap gives the findings their peaks.
    """
    from brainviewer import export
    from brainviewer.export.order import Order
    from brainviewer.jobs.gathering import gather

    loaded = corrections.load(at)
    about = loaded.about
    if not about.run or not (runs.folder(about.run) / "result.json").exists():
        raise BadInput(
            "The run this correction began with is not kept any more, and a DICOM segmentation names it.",
            "Export the correction as NIfTI.",
        )
    with tempfile.TemporaryDirectory() as folder:
        write_nifti(loaded, Path(folder))
        mask = Path(folder) / f"{about.key}_mask.nii.gz"
        material = gather(runs.folder(about.run), study, about.percentile, mask, about.reader, report)
        return export.write(Order(material, report=report), [SEG], out)


def take_in(path: Path, study_uid: str, series: Series, reader: str = "") -> About:
    """A correction from another place, as one of this series: exported JSON, NIfTI mask or DICOM segmentation.

    reader: whose it is, where the file does not say. A mask without slice states counts as drawn where it is not empty.
    """
    from engines.corrections import read_one

    if path.suffix == ".json":
        return _keep(_fitting(read_one(path), series), study_uid, series, reader)
    return _keep(_drawn(path, series), study_uid, series, reader or "Imported")


def _fitting(found: CorrectedVolume, series: Series) -> CorrectedVolume:
    corners = np.array([[0, 0, 0, 1], [*series.shape, 1]], float).T
    same = found.mask.shape == series.shape
    if not same or np.abs((found.affine - np.array(series.affine)) @ corners).max() > SAME_GRID_MM:
        raise BadInput("The correction lies on another grid than this series.", "Open the scan it was made on.")
    return found


def _drawn(path: Path, series: Series) -> CorrectedVolume:
    from brainviewer.reading.dicom_layers import read_layers
    from engines.corrections import AUTO, CORRECTED, CorrectedVolume
    from engines.files import NIFTI as NIFTI_SUFFIXES
    from engines.files import read_volume

    affine = np.array(series.affine)
    if path.name.lower().endswith(NIFTI_SUFFIXES):
        found = read_volume(path)
        mask, affine = found.voxels > 0, found.affine
    else:
        layers = [layer for layer in read_layers(path, series) if layer.kind == "mask"]
        if not layers:
            raise BadInput(f"{path.name} holds no mask.", "Choose a binary segmentation.")
        mask = np.logical_or.reduce([layer.values > 0.5 for layer in layers])
    axis = _axis(series)
    others = tuple(n for n in range(3) if n != axis)
    states = tuple(CORRECTED if some else AUTO for some in np.asarray(mask.any(axis=others)).tolist())
    empty = np.zeros(mask.shape, bool)
    return _fitting(CorrectedVolume("imported", series.uid, series.uid, "", mask, empty, states, axis, affine), series)


def _axis(series: Series) -> int:
    return Volume(np.zeros(series.shape, np.float32), np.array(series.affine)).slice_axis


def _keep(found: CorrectedVolume, study_uid: str, series: Series, reader: str) -> About:
    about = About(
        series.uid, study_uid, found.reader or reader, series.shape, series.affine, found.slice_axis,
        engine=found.engine, model_digest=found.model_digest,
        percentile=math.nan if found.percentile is None else found.percentile,
    )  # fmt: skip
    automatic = found.automatic.astype(np.uint8)
    corrections.create(about, automatic)
    correction = Correction(automatic, found.slice_axis)
    states = np.array([STATE_OF_NAME[state] for state in found.states], np.uint8)
    edit = correction.become("Imported", found.mask.astype(np.uint8), states)
    journal = Journal(corrections.folder(about) / JOURNAL)
    if edit is not None:
        journal.add(Event(Kind.EDIT, edit))
    journal.close()
    return about


@dataclass(frozen=True, slots=True)
class ReaderPair:
    """Two readers of one series, and how far they agree."""

    first: str
    second: str
    agreement: Agreement


def agree(series_uid: str) -> list[ReaderPair]:
    """Every two readers of a series, by their newest corrections."""
    newest: dict[str, About] = {}
    for about in corrections.of_series(series_uid):
        newest.setdefault(about.reader, about)
    loaded = {reader: corrections.load(corrections.folder(about)).correction for reader, about in newest.items()}
    readers = sorted(loaded)
    return [
        ReaderPair(a, b, agreement(loaded[a], loaded[b]))
        for n, a in enumerate(readers)
        for b in readers[n + 1 :]
        if loaded[a].mask.shape == loaded[b].mask.shape and loaded[a].slice_axis == loaded[b].slice_axis
    ]
