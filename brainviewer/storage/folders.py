"""Where things lie: folders of the user, and what comes with the program."""

from __future__ import annotations

import os
from pathlib import Path

import brainviewer
from engines import KnownError

APP = "brainviewer"


def settings_dir() -> Path:
    """Settings and the list of recent studies."""
    return _folder("config", "settings")


def data_dir() -> Path:
    """What the user would miss: models, the demo study, later corrections and the library."""
    return _folder("data", "data")


def cache_dir() -> Path:
    """What can be made again: thumbnails."""
    return _folder("cache", "cache")


def log_dir() -> Path:
    """Crash reports."""
    return _folder("log", "logs")


def models_dir() -> Path:
    """Models the user added or trained."""
    return data_dir() / "models"


def resources_dir() -> Path:
    """Icons, palettes and models that come with the program."""
    return Path(brainviewer.__file__).resolve().parents[1] / "resources"


def bundled_models_dir() -> Path:
    """Models that come with the program."""
    return resources_dir() / "models"


def make(folder: Path) -> Path:
    """The folder, created where it is missing; raises KnownError where that is not allowed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KnownError(
            f"The folder {folder} cannot be made: {error.strerror}.",
            "Check its permissions, or set BRAINVIEWER_HOME to a folder you may write to.",
        ) from error
    return folder


def _folder(kind: str, name: str) -> Path:
    home = os.environ.get("BRAINVIEWER_HOME")
    if home:
        return Path(home).expanduser() / name
    import platformdirs

    return Path(getattr(platformdirs, f"user_{kind}_dir")(APP, appauthor=False))
