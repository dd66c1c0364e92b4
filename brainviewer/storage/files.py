"""Small files that are never half written."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from brainviewer.storage import folders
from engines import KnownError


def write_whole(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Put content into the file at once: after a crash it holds the old content or the new, never a mixture.

    durable: wait until the disk has it, which may take a tenth of a second; not for what can be made again.
    """
    folders.make(path.parent)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        fresh = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise KnownError(
            f"{path.name} cannot be saved in {path.parent}: {error.strerror}.", "Check free space and permissions."
        ) from error


def put_aside(path: Path) -> Path:
    """Rename a damaged file, so that it is neither used again nor lost."""
    aside = path.with_name(f"{path.stem}.damaged{path.suffix}")
    with contextlib.suppress(OSError):
        path.replace(aside)
    return aside
