"""ZIP archives: members go one by one, under generated names, into a private temporary folder.

No name from the archive ever becomes a path, so nothing can leave the folder; what is written is counted, so
neither a bomb nor a lying size fills the disk. Archives inside archives are left alone. The folders are removed
when the process that extracted them ends; those of a killed process, when the next archive is opened.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import psutil

from brainviewer.reading.trouble import damage_reported
from engines import BadInput, Report

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
PREFIX = "brainviewer-zip-"
MOST_MEMBERS = 100_000
MOST_BYTES = 64 * 2**30
# Beyond this size an archive may not expand more than so many times: real scans shrink 2 to 10 times.
FREE_BYTES, MOST_RATIO = 2**30, 200
SHARE_OF_FREE_DISK = 0.8
PIECE = 2**20
SUFFIXES = (".nii.gz", ".nii", ".png", ".jpg", ".jpeg")


@dataclass(frozen=True, slots=True)
class Extracted:
    """Where the members lie, what each was called, and one sentence for each that could not be taken out."""

    files: tuple[Path, ...]
    names: dict[Path, str]
    problems: tuple[str, ...]


def is_archive(head: bytes) -> bool:
    """True for the magic numbers of ZIP."""
    return head.startswith(MAGIC)


def extract(path: Path, report: Report) -> Extracted:
    """Take all members out of the archive. Raises BadInput where the archive as a whole is not sound."""
    remove_abandoned()
    with damage_reported(path, "list of members"), zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) > MOST_MEMBERS:
            raise BadInput(f"{path.name} holds {len(members):,} files; at most {MOST_MEMBERS:,} are taken out.")
        folder = _private_folder()
        try:
            return _extract_all(path, archive, members, folder, report)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _extract_all(
    path: Path, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], folder: Path, report: Report
) -> Extracted:
    disk = int(shutil.disk_usage(folder).free * SHARE_OF_FREE_DISK)
    budget = min(MOST_BYTES, max(FREE_BYTES, path.stat().st_size * MOST_RATIO), disk)
    files: list[Path] = []
    names: dict[Path, str] = {}
    problems: list[str] = []
    folders: dict[str, Path] = {}
    for done, member in enumerate(members):
        report(done, len(members), "Unpacking")
        inside = PurePosixPath(member.filename.replace("\\", "/"))
        name = "".join(letter for letter in inside.name if letter.isprintable())[-80:]
        if stat.S_ISLNK(member.external_attr >> 16) or name.startswith(".") or "__MACOSX" in inside.parts:
            continue
        # Members of one folder stay together: they may belong to one study.
        home = folders.setdefault(str(inside.parent), folder / f"d{len(folders):05d}")
        home.mkdir(exist_ok=True, mode=0o700)
        target = home / f"f{done:06d}{next((end for end in SUFFIXES if name.lower().endswith(end)), '')}"
        try:
            with damage_reported(Path(name or "member"), "packed data"), archive.open(member) as source:
                budget -= _copy(source, target, budget, path.name)
        except BadInput as error:
            target.unlink(missing_ok=True)
            if budget <= 0 or isinstance(error, _TooMuch):
                raise
            problems.append(str(error))
            continue
        files.append(target)
        names[target] = name
    return Extracted(tuple(files), names, tuple(problems))


class _TooMuch(BadInput):
    """The archive expands beyond every limit."""


def _copy(source: object, target: Path, budget: int, archive: str) -> int:
    """Bytes written; raises _TooMuch as soon as the budget is spent, whatever size the archive claims."""
    written = 0
    with target.open("xb") as file:
        for piece in _pieces(source):  # type: ignore[arg-type]
            written += len(piece)
            if written > budget:
                raise _TooMuch(
                    f"{archive} expands to far more than an archive of scans does, or than the disk can take.",
                    "Unpack it yourself and open the folder.",
                )
            file.write(piece)
    return written


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    while piece := source.read(PIECE):
        yield piece


def _owner() -> int:
    """The process the folders belong to: the viewer's, when this is its worker."""
    parent = multiprocessing.parent_process()
    return parent.pid if parent is not None and parent.pid is not None else os.getpid()


def _private_folder() -> Path:
    if multiprocessing.parent_process() is None:
        atexit.register(remove_extracted)
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{_owner()}-"))


def remove_extracted() -> None:
    """Remove what this process and its workers took out of archives; call it when the viewer closes."""
    for folder in _folders():
        if _pid_of(folder) == _owner():
            shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned() -> None:
    """Remove the folders of processes that were killed."""
    for folder in _folders():
        pid = _pid_of(folder)
        if pid and not psutil.pid_exists(pid):
            shutil.rmtree(folder, ignore_errors=True)


def _folders() -> list[Path]:
    """Our own folders only: in a shared temporary folder anyone may use the same prefix."""
    own = []
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        mine = not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid()
        if mine and folder.is_dir() and not folder.is_symlink():
            own.append(folder)
    return own


def _pid_of(folder: Path) -> int:
    word = folder.name.removeprefix(PREFIX).split("-")[0]
    return int(word) if word.isdigit() else 0
