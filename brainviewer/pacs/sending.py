"""Which files can be sent, and to which studies they belong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from engines import BadInput


def dicom_files(paths: Sequence[Path]) -> list[Path]:
    """DICOM files among these files and folders; raises BadInput where there are none."""
    found = []
    for path in paths:
        inside = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        found += [one for one in inside if _is_dicom(one)]
    if not found:
        raise BadInput(
            "There is no DICOM file to send.", "Export in a format that begins with dicom, and name its folder."
        )
    return found


def studies_of(files: Sequence[Path]) -> Counter[str]:
    """Study UID -> how many of the files belong to it."""
    return Counter(
        str(dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID"]).get("StudyInstanceUID", ""))
        for path in files
    )


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(128)
            return file.read(4) == b"DICM" and bool(
                dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"]).get("SOPInstanceUID")
            )
    except (OSError, InvalidDicomError):
        return False
