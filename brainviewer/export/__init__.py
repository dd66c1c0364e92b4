"""Exports: one run in the files that other programs and hospital systems read. One format a file.

write(order, formats, out) makes them all, whole or not at all. Every format is a function (order, folder) in a module
of its own, with one line in EXPORTERS. No file name, table or log line of an export holds a patient's name; the DICOM
objects do, as their archive needs it, unless the order de-identifies.

Decisions (2026-11): DICOM objects are new series in the scan's own study and frame of reference; what they say is
never verified. A scan that is no DICOM gets generated images in a study of its own, and a warning says so. The
segments of a mask never overlap and their union is the mask. Re-exports get new instance UIDs, findings keep their
tracking UIDs.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from engines import BadInput, KnownError

if TYPE_CHECKING:
    from brainviewer.export.order import Order


@dataclass(frozen=True, slots=True)
class Exporter:
    """One format. writer: module and function. needs_scan: the run alone is not enough. dicom: an object for PACS."""

    title: str
    writer: str
    needs_scan: bool = True
    dicom: bool = False


# By name: the libraries are imported when a format is asked for.
EXPORTERS = {
    "nifti": Exporter("NIfTI: heatmap, percentiles, mask, findings, extras", "nifti:write", needs_scan=False),
    "bids": Exporter("BIDS derivatives", "bids:write", needs_scan=False),
    "csv": Exporter("CSV: findings and slice scores", "csv_tables:write", needs_scan=False),
    "json": Exporter("JSON: everything the run said", "json_facts:write", needs_scan=False),
    "png": Exporter("PNG: key images", "png:write"),
    "apng": Exporter("Animated PNG: all slices with the heatmap", "png:write_animated"),
    "dicom-images": Exporter("DICOM: the scan itself", "dicom_images:write", dicom=True),
    "dicom-seg": Exporter("DICOM segmentation of the mask", "dicom_seg:write_binary", dicom=True),
    "dicom-seg-fractional": Exporter(
        "DICOM fractional segmentation of the heatmap", "dicom_seg:write_fractional", dicom=True
    ),
    "parametric-map": Exporter("DICOM parametric map of the heatmap", "dicom_parametric_map:write", dicom=True),
    "dicom-sr": Exporter("DICOM structured report (TID 1500) with its segmentation", "dicom_sr:write", dicom=True),
    "dicom-capture": Exporter("DICOM secondary captures of the key images", "dicom_capture:write", dicom=True),
    "dicom-pdf": Exporter("DICOM encapsulated PDF of the report", "dicom_pdf:write", dicom=True),
}


def write(order: Order, formats: Sequence[str], out: Path) -> list[Path]:
    """Export a run in these formats; returns the files in `out`. Raises KnownError and leaves nothing half done."""
    from brainviewer.export import writing

    unknown = [name for name in formats if name not in EXPORTERS]
    if unknown:
        raise BadInput(f"There is no export format '{unknown[0]}'.", f"There are: {', '.join(EXPORTERS)}.")
    with writing.staged(out) as fresh, quiet():
        for name in dict.fromkeys(formats):
            _write_one(order, EXPORTERS[name], fresh)
        if any(EXPORTERS[name].dicom for name in formats) and order.images.generated:
            _write_one(order, EXPORTERS["dicom-images"], fresh)
        written = [path.relative_to(fresh) for path in writing.files(fresh)]
    return [out / path for path in written]


def _write_one(order: Order, exporter: Exporter, folder: Path) -> None:
    if exporter.needs_scan and order.material.source is None:
        raise BadInput(f"{exporter.title} needs the scan itself.", "Name it with --study.")
    module, name = exporter.writer.split(":")
    write_format = getattr(import_module(f"brainviewer.export.{module}"), name)
    try:
        write_format(order, folder)
    except KnownError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if not exporter.dicom:
            raise
        # highdicom checks what it copies from the scan's headers; its own words may quote them, so they stay out.
        raise BadInput(
            f"{exporter.title} cannot be made: the scan's headers break the rules ({type(error).__name__}).",
            "Export it as nifti instead.",
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' warnings and log lines to ourselves: they quote headers, and those name patients."""
    logs = [logging.getLogger(name) for name in ("pydicom", "highdicom", "nibabel.global", "PIL")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
