"""Small pictures of series, kept between sessions so that recent studies are recognised at a glance."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainviewer.storage import folders
from brainviewer.storage.files import write_whole

LARGEST = 1 << 20


def name_of(series_uid: str) -> str:
    """The file name: a digest, because an identifier from a file must not become a path."""
    return hashlib.sha256(series_uid.encode()).hexdigest()[:32] + ".npy"


def save(series_uid: str, picture: NDArray[np.uint8]) -> str:
    """Keep a picture (uint8 (h, w)); returns its file name."""
    stream = io.BytesIO()
    np.save(stream, picture, allow_pickle=False)
    name = name_of(series_uid)
    write_whole(_folder() / name, stream.getvalue(), durable=False)
    return name


def load(name: str) -> NDArray[np.uint8] | None:
    """The picture kept under a name, None where there is none any more."""
    if not name or Path(name).name != name:
        return None
    path = _folder() / name
    try:
        if path.stat().st_size > LARGEST:
            return None
        picture: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return picture if picture.dtype == np.uint8 and picture.ndim == 2 else None


def _folder() -> Path:
    return folders.cache_dir() / "thumbnails"
