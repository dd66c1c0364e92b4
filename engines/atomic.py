"""Folders that are written whole or not at all, whatever stops the program in between."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engines.errors import BadInput, KnownError


@contextmanager
def whole_folder(target: Path, marker: str) -> Iterator[Path]:
    """A new folder to fill; its files take their place in `target` only when the block ends without an error.

    marker: the file that makes the folder valid; it appears last. A folder that holds it already is replaced as
    a whole, and its other files (a training state) are kept. Raises KnownError where nothing can be written.
    """
    target = target.resolve()
    if target.exists() and not target.is_dir():
        raise BadInput(f"{target} is a file; a folder is needed there.", "Choose another output folder.")
    try:
        recover(target)
        fresh = _fresh_folder(target, marker)
        try:
            yield fresh
            _flush(fresh)
            _put_in_place(fresh, target, marker)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise KnownError(
            f"The folder {target} cannot be written: {error.strerror or error}.", "Check free space and permissions."
        ) from error


def recover(target: Path) -> None:
    """Finish what a killed program left half done: nothing happens on an ordinary folder."""
    previous = _previous(target)
    if not previous.is_dir():
        return
    if target.exists():
        _carry_over(previous, target)
    else:
        previous.rename(target)


def _previous(target: Path) -> Path:
    return target.parent / f".{target.name}.previous"


def _fresh_folder(target: Path, marker: str) -> Path:
    # A folder that is no package yet may be a mount point or the current folder: never rename it, fill it.
    parent = target if target.is_dir() and not (target / marker).exists() else target.parent
    parent.mkdir(parents=True, exist_ok=True)
    fresh = parent / f".{target.name}.{uuid.uuid4().hex[:8]}.new"
    fresh.mkdir()
    return fresh


def _put_in_place(fresh: Path, target: Path, marker: str) -> None:
    if not target.exists():
        fresh.rename(target)
    elif fresh.parent == target:
        for entry in sorted(fresh.iterdir(), key=lambda path: path.name == marker):
            entry.replace(target / entry.name)
    else:
        target.rename(_previous(target))
        fresh.rename(target)
        _carry_over(_previous(target), target)


def _carry_over(previous: Path, target: Path) -> None:
    for entry in previous.iterdir():
        if not (target / entry.name).exists():
            entry.rename(target / entry.name)
    shutil.rmtree(previous, ignore_errors=True)


def _flush(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
