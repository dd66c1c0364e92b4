"""A study and its series, as found by reading; voxels are loaded later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Affine = tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Series:
    """One acquisition: the unit that is loaded and shown.

    uid: identity (DICOM SeriesInstanceUID, or a digest of a file's content).
    title: what the scanner or file calls it, for the screen.
    modality: "T1", "T2", "FLAIR", "PD", "CT", "CXR", "MR2D" ...; "" where unknown.
    kind: DICOM modality ("MR", "CT", "CR", "DX"), "NIfTI" or "picture".
    format: name of the module in brainviewer.reading that loads it ("dicom", "nifti", "picture").
    files: what to read, already in slice order where slices are files.
    shape: voxels along (i, j, k). affine: voxel -> RAS+ mm, as nested tuples.
    calibrated: False where the pixel size is unknown.
    window: (width, level) stored in the file, or None.
    warnings: sentences about geometry or content that the reader must see.
    options: what the loader needs besides the files (frame numbers, 4D index, ZIP folder ...).
    """

    uid: str
    title: str
    modality: str
    kind: str
    format: str
    files: tuple[Path, ...]
    shape: tuple[int, int, int]
    affine: Affine
    calibrated: bool = True
    window: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_picture(self) -> bool:
        """True for a single 2D picture."""
        return 1 in self.shape


@dataclass(frozen=True, slots=True)
class Study:
    """Series that belong together.

    uid: DICOM StudyInstanceUID or a digest. title: for the screen (may hold a patient's name: never a path,
    log or file name). date: ISO "2026-11-21" or "". path: what the user opened.
    problems: one sentence for each file that could not be read.
    """

    uid: str
    title: str
    date: str
    path: Path
    series: tuple[Series, ...]
    problems: tuple[str, ...] = ()
