"""Folders of kept runs. Their content is written and read by engines.results, in a worker."""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Collection
from pathlib import Path

from brainviewer.storage import folders

_KEY = re.compile(r"[0-9a-f]{32}")
# A run younger than this may still be on its way into the library of another window.
YOUNG_S = 24 * 3600


def new_key() -> str:
    """The name of a run that is about to be kept."""
    return uuid.uuid4().hex


def folder(key: str) -> Path:
    """Where the files of a run lie."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} names no run")
    return folders.data_dir() / "runs" / key


def remove(key: str) -> None:
    """Delete the files of a run."""
    shutil.rmtree(folder(key), ignore_errors=True)


def sweep(known: Collection[str]) -> int:
    """Delete old folders that no library entry knows, left by a crash between the two; returns how many."""
    gone = 0
    for path in (folders.data_dir() / "runs").glob("*"):
        if _KEY.fullmatch(path.name) and path.name not in known and time.time() - path.stat().st_mtime > YOUNG_S:
            remove(path.name)
            gone += 1
    return gone
