"""Taking a model in from a folder or ZIP file, and removing it again."""

from __future__ import annotations

import shutil
import uuid
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from engines import model_package
from engines.errors import BadModel, KnownError
from engines.model_package import CARD, FILES, Model

LARGEST_PACKAGE = 8 << 30


def add(source: Path, models_folder: Path) -> Model:
    """Copy a model, checked, into the user's models folder. A model that is there already stays as it is.

    The new folder is named by engine and digest, never by words from the card.
    """
    try:
        models_folder.mkdir(parents=True, exist_ok=True)
        fresh = models_folder / f".{uuid.uuid4().hex[:8]}.new"
        fresh.mkdir()
        try:
            _copy(source, fresh)
            card = model_package.verify(fresh)
            target = models_folder / f"{card.engine}-{card.digest[:16]}"
            if not target.exists():
                fresh.rename(target)
            return Model(target, model_package.verify(target))
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise KnownError(
            f"The model cannot be copied to {models_folder}: {error.strerror or error}.",
            "Check free space and permissions.",
        ) from error


def remove(model: Path, models_folder: Path) -> None:
    """Delete a model from the user's models folder; bundled models and other folders are refused."""
    inside = model.resolve().parent == models_folder.resolve()
    if not inside or not (model / CARD).is_file():
        raise BadModel(f"{model} is not a model in {models_folder}.", "Only added or trained models can be removed.")
    doomed = models_folder / f".{uuid.uuid4().hex[:8]}.removed"
    try:
        model.rename(doomed)
        shutil.rmtree(doomed)
    except OSError as error:
        raise KnownError(f"{model} cannot be removed: {error.strerror or error}.", "Check permissions.") from error


def _copy(source: Path, fresh: Path) -> None:
    if source.is_dir():
        model_package.read_card(source)
        for name in FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, fresh / name)
        return
    if not source.is_file():
        raise BadModel(f"There is no file or folder {source}.", "Name a model folder or a ZIP file of one.")
    try:
        with zipfile.ZipFile(source) as archive:
            _unpack(source, archive, fresh)
    # RuntimeError: encrypted; NotImplementedError: unknown compression; EOFError, zlib.error: truncated.
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, zlib.error, UnicodeError) as error:
        raise BadModel(f"{source} is neither a model folder nor a readable ZIP file.", "Choose another.") from error


def _unpack(source: Path, archive: zipfile.ZipFile, fresh: Path) -> None:
    members = archive.infolist()
    cards = [PurePosixPath(member.filename) for member in members if PurePosixPath(member.filename).name == CARD]
    if len(cards) != 1:
        raise BadModel(f"{source} holds {len(cards)} models; exactly one is needed.", "Choose another file.")
    # Only the four known names beside the card are read, into names of our own: no path of the archive is used.
    wanted = {str(cards[0].parent / name): name for name in FILES}
    chosen = [member for member in members if member.filename in wanted]
    if sum(member.file_size for member in chosen) > LARGEST_PACKAGE or len(chosen) > len(FILES):
        raise BadModel(f"{source} is no plausible model: too large, or files occur twice.", "Choose another file.")
    for member in chosen:
        with archive.open(member) as packed, (fresh / wanted[member.filename]).open("wb") as file:
            shutil.copyfileobj(packed, file)
