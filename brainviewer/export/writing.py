"""Exports appear whole or not at all: everything is written beside its place and moved there at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engines import KnownError


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A folder to fill; its files take their place in `out` only when the block ends without an error."""
    out = out.resolve()
    try:
        out.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=out, prefix=".export-"))
        try:
            yield fresh
            for path in files(fresh):
                _flush(path)
            for path in files(fresh):
                place = out / path.relative_to(fresh)
                place.parent.mkdir(parents=True, exist_ok=True)
                path.replace(place)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise KnownError(
            f"The export cannot be written to {out}: {error.strerror or error}.", "Check free space and permissions."
        ) from error


def files(folder: Path) -> list[Path]:
    """All files below a folder, in a stable order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
