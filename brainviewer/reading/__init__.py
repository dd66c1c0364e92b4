"""Reading: from files to studies, series and volumes. One format a file; everything foreign ends at this door.

scan(paths) finds studies from headers alone; load(series) decodes one series; read(series) does the same but
lets a series open whose single slices are damaged. Both run in the reading worker, because a codec may crash.

Geometry: voxels[i, j, k], affine voxel -> RAS+ mm. DICOM: i along a row, j down the columns, k along the slice
normal. Pictures without a place (PNG, JPEG, radiographs) are (i, j, 1), i to the patient's left, j to the back,
as an axial supine slice: in the radiological convention they stand as stored. Nothing is resampled; what is odd
is a sentence in Series.warnings, and a file that cannot be read is a sentence in Study.problems.

A new format is one file with scan(path) and load(series, report, allocate), and one line in FORMATS.
Decisions (2026-11): a missing slice stays an empty slot so that all others keep their true place; a tilted gantry
is a sheared affine; slices of lossless JPEG need the optional python-gdcm, whose licence is fine but whose decoder
aborts on damaged files.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from brainviewer.reading.loading import Allocate, Loaded, zeros
from brainviewer.study import Series, Study
from engines import BadInput, Report, Volume, silent

if TYPE_CHECKING:
    from collections.abc import Callable

# Series.format -> the module whose load() reads it. By name: pydicom and nibabel are imported when needed.
FORMATS = {
    "dicom": "brainviewer.reading.dicom",
    "nifti": "brainviewer.reading.nifti",
    "picture": "brainviewer.reading.picture",
}


def scan(paths: Sequence[Path], report: Report = silent) -> list[Study]:
    """Studies in a folder, file, DICOMDIR, ZIP or many of them, from headers only. Raises BadInput if none."""
    from brainviewer.reading import scanning

    return scanning.scan(paths, report)


def load(series: Series, report: Report = silent, allocate: Allocate | None = None) -> Volume:
    """The whole series as a volume. Raises BadInput where even one slice cannot be decoded."""
    loaded = read(series, report, allocate)
    if loaded.problems:
        raise BadInput(
            f"{len(loaded.problems)} of {series.shape[2]} slices cannot be decoded. {loaded.problems[0]}",
            "The viewer can show the others; an engine should not judge an incomplete scan.",
        )
    return loaded.volume


def read(series: Series, report: Report = silent, allocate: Allocate | None = None) -> Loaded:
    """The series as far as it can be decoded, with one sentence for each slice left empty."""
    loader = cast("Callable[[Series, Report, Allocate], Loaded]", import_module(FORMATS[series.format]).load)
    return loader(series, report, allocate or zeros)


def thumbnail(series: Series, size: int = 96) -> NDArray[np.uint8]:
    """The middle slice as a small grey picture (height, width), hung radiologically."""
    from brainviewer.reading import hanging

    return hanging.thumbnail(series, size)


__all__ = ["FORMATS", "Allocate", "Loaded", "load", "read", "scan", "thumbnail"]
