"""DICOMDIR: the table of contents of a DICOM disc, as the list of files it names."""

from __future__ import annotations

from pathlib import Path

from brainviewer.reading.dicom_file import quiet_pydicom, read_header
from brainviewer.reading.dicom_headers import DICOMDIR
from brainviewer.reading.dicom_values import many_texts
from brainviewer.reading.trouble import damage_reported

NAMES = ("dicomdir", "dicomdir.dcm")


def is_directory_file(path: Path) -> bool:
    """True by the file's name, which the standard prescribes."""
    return path.name.lower() in NAMES


def scan(path: Path) -> tuple[list[Path], list[str]]:
    """The files named by a DICOMDIR that are there, and sentences about what is not. Never outside its folder."""
    with quiet_pydicom(), damage_reported(path, "table of contents"):
        dataset, _room = read_header(path, ("DirectoryRecordSequence",))
        media = str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))
        records = dataset.get("DirectoryRecordSequence") or []
        named = [many_texts(record, "ReferencedFileID") for record in records]
    if media != DICOMDIR and not any(named):
        return [path], []
    root = path.parent.resolve()
    files: dict[Path, None] = {}
    missing = outside = 0
    for parts in filter(None, named):
        found = _find(root, parts)
        if found is None:
            missing += 1
        elif not found.resolve().is_relative_to(root):
            outside += 1
        else:
            files[found] = None
    problems = [f"{path.name} names {missing} files that are not there."] if missing else []
    problems += [f"{path.name} names {outside} files outside its folder; they are not opened."] if outside else []
    return list(files), problems


def _find(root: Path, parts: list[str]) -> Path | None:
    """The named file; discs copied to other systems often come with lower-case names."""
    for spelled in (parts, [part.lower() for part in parts]):
        candidate = root.joinpath(*spelled)
        if candidate.is_file():
            return candidate
    return None
