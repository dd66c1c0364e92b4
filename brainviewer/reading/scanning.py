"""Find the studies in whatever the user opened: files, folders, DICOMDIR, ZIP, many at once. Headers only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from brainviewer.reading import archive, dicom, dicom_directory, nifti, picture
from brainviewer.reading.dicom_file import SNIFF_BYTES, is_dicom
from brainviewer.reading.fingerprint import text_fingerprint
from brainviewer.study import Series, Study
from engines import BadInput, Report, silent

MOST_FILES = 500_000
MOST_PROBLEMS = 200
OPENS = "BrainViewer opens DICOM (folder, file, DICOMDIR, ZIP), NIfTI, PNG and JPEG."


@dataclass(slots=True)
class _Found:
    """Files by what they are. names: what a file was called before it came out of an archive."""

    dicom: list[Path] = field(default_factory=list)
    nifti: list[Path] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    names: dict[Path, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def scan(paths: Sequence[Path], report: Report = silent) -> list[Study]:
    """Studies in the given places, newest knowledge of geometry included; voxels are not read.

    Sound files open even where others are broken: each broken one is a sentence in Study.problems.
    Raises BadInput where there is no image series at all.
    """
    found = _Found()
    for path in paths:
        _collect(Path(path), found, report)
    root = Path(paths[0]) if paths else Path()
    studies, problems = dicom.scan(found.dicom, root, report)
    found.problems += problems
    studies += _file_studies(found, root, report)
    if not studies:
        raise _nothing(paths, found.problems)
    problems = found.problems[:MOST_PROBLEMS]
    if len(found.problems) > MOST_PROBLEMS:
        problems.append(f"{len(found.problems) - MOST_PROBLEMS} more files could not be read.")
    # A broken file rarely says which study it was of; the first one speaks for all that was opened.
    return [replace(studies[0], problems=tuple(problems)), *studies[1:]]


def _nothing(paths: Sequence[Path], problems: list[str]) -> BadInput:
    place = paths[0].name or str(paths[0]) if paths else "the list"
    if len(problems) == 1:
        return BadInput(problems[0])
    if problems:
        return BadInput(f"{place} holds no image series. {problems[0]} ({len(problems) - 1} more like it.)")
    return BadInput(f"{place} holds no image series.", OPENS)


def _collect(path: Path, found: _Found, report: Report) -> None:
    """Sort one thing the user gave us into the lists."""
    if path.is_dir():
        _sort(_walk(path), found, report)
        return
    try:
        head = _head(path)
    except OSError as error:
        found.problems.append(f"{path.name} cannot be opened: {(error.strerror or 'it is not there').lower()}.")
        return
    if archive.is_archive(head):
        extracted = archive.extract(path, report)
        found.names |= extracted.names
        found.problems += extracted.problems
        _sort(extracted.files, found, report)
    elif dicom_directory.is_directory_file(path):
        files, problems = dicom_directory.scan(path)
        found.dicom += files
        found.problems += problems
    elif not _place(path, head, found):
        found.problems.append(
            f"{path.name} is empty." if path.stat().st_size == 0 else f"{path.name} is not a scan. {OPENS}"
        )


def _walk(folder: Path) -> Iterator[Path]:
    """Files of a folder in a stable order; hidden ones and links to folders are left alone."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(place, name)


def _sort(files: Iterable[Path], found: _Found, report: Report) -> None:
    for done, path in enumerate(files):
        if done >= MOST_FILES:
            found.problems.append(f"Only the first {MOST_FILES:,} files were looked at.")
            return
        if done % 50 == 0:
            report(done, 0, "Looking for scans")
        if dicom_directory.is_directory_file(Path(found.names.get(path, path.name))):
            continue  # the files it names are found anyway
        try:
            _place(path, _head(path), found)
        except OSError:
            found.problems.append(f"{path.name} may not be read.")


def _place(path: Path, head: bytes, found: _Found) -> bool:
    """Put a file into the list of its kind; False where it is none of ours."""
    if nifti.is_nifti(path):
        found.nifti.append(path)
    elif picture.is_picture(head):
        found.pictures.append(path)
    elif is_dicom(head, path.stat().st_size):
        found.dicom.append(path)
    else:
        return False
    return True


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(SNIFF_BYTES)


def _file_studies(found: _Found, root: Path, report: Report) -> list[Study]:
    """NIfTI files and pictures of one folder make one study."""
    by_folder: dict[Path, list[Series]] = {}
    todo = [(nifti.scan, path) for path in found.nifti] + [(picture.scan, path) for path in found.pictures]
    for done, (read, path) in enumerate(todo):
        report(done, len(todo), "Reading headers")
        try:
            by_folder.setdefault(path.parent, []).extend(read(path, found.names.get(path, "")))
        except BadInput as error:
            name = found.names.get(path)
            found.problems.append(str(error).replace(path.name, name) if name else str(error))
    return [_file_study(folder, series, root) for folder, series in by_folder.items() if series]


def _file_study(folder: Path, series: list[Series], root: Path) -> Study:
    alone = len({path for one in series for path in one.files}) == 1
    taken_out = root.is_file() and root.parent != folder
    title = series[0].title if alone else root.stem if taken_out else folder.resolve().name
    uid = series[0].uid if alone else text_fingerprint("".join(sorted(one.uid for one in series)))
    return Study(uid=uid, title=title, date="", path=root, series=tuple(series))
