"""Models at hand: those that come with the program and those of the user. Cards only; weights stay on disk."""

from __future__ import annotations

from pathlib import Path

from brainviewer.storage import folders
from engines.errors import BadModel
from engines.model_package import Model, find_models


def model_folders() -> tuple[Path, ...]:
    """Folders that hold models: the user's own first."""
    return folders.models_dir(), folders.bundled_models_dir()


def find() -> tuple[list[Model], list[BadModel]]:
    """Every sound model, and what is wrong with the others."""
    faults: list[BadModel] = []
    models = find_models(model_folders(), on_bad=lambda _folder, fault: faults.append(fault))
    return models, faults


def is_bundled(model: Model) -> bool:
    """True for a model that came with the program and cannot be removed."""
    return folders.bundled_models_dir() in model.folder.parents
