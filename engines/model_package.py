"""Models on disk: a folder with model.json, weights.safetensors, calibration.safetensors and README.md.

No pickle and nothing executable; every load checks the SHA-256 of the bytes it is about to use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as pack_tensors

from engines.atomic import recover, whole_folder
from engines.errors import BadInput, BadModel
from engines.model_card import SCHEMA_VERSION, ModelCard

CARD, WEIGHTS, CALIBRATION, README = "model.json", "weights.safetensors", "calibration.safetensors", "README.md"
FILES = (CARD, WEIGHTS, CALIBRATION, README)
LARGEST_CARD = 4 << 20

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Model:
    """A model found on disk: its folder and its card (weights not read yet)."""

    folder: Path
    card: ModelCard


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A model in memory, checked: weights as float32 arrays, calibration as stored."""

    card: ModelCard
    weights: Tensors
    calibration: Tensors


def write(
    folder: Path, card: ModelCard, weights: Mapping[str, Any], calibration: Mapping[str, Any], *, half: bool = False
) -> ModelCard:
    """Write a package, whole or not at all, and return its card with the digests filled in.

    weights: numpy arrays or torch tensors. half: store float weights as float16 (half the size).
    """
    return _write(folder, card, pack_tensors(_arrays(weights, half=half)), pack_tensors(_arrays(calibration)))


def replace_calibration(folder: Path, calibration: Mapping[str, Any], card: ModelCard | None = None) -> ModelCard:
    """Give a model another calibration (and another card, if given), keeping its weights byte by byte."""
    stored = read_card(folder)
    weights = _checked_bytes(folder, WEIGHTS, stored.weights.sha256)
    return _write(folder, card or stored, weights, pack_tensors(_arrays(calibration)))


def replace_card(folder: Path, card: ModelCard) -> ModelCard:
    """Give a model another card (say, with measured figures), keeping weights and calibration."""
    stored = read_card(folder)
    weights = _checked_bytes(folder, WEIGHTS, stored.weights.sha256)
    return _write(folder, card, weights, _checked_bytes(folder, CALIBRATION, stored.calibration.sha256))


def read_card(folder: Path, engine: str = "") -> ModelCard:
    """The card of a model, checked against its own digest; raises BadModel. `engine`: refuse other engines' models."""
    recover(folder)
    path = folder / CARD
    try:
        text = path.read_bytes() if path.stat().st_size <= LARGEST_CARD else b""
    except OSError as error:
        raise BadModel(f"{folder} is not a model: it has no readable {CARD}.", "Choose a model folder.") from error
    try:
        card = ModelCard.model_validate_json(text)
    except ValidationError as error:
        raise BadModel(_card_fault(folder, error), "Train or add the model again.") from error
    if card.digest != card.expected_digest():
        raise BadModel(f"The card of the model in {folder} was altered.", "Add the model again from its source.")
    if engine and card.engine != engine:
        raise BadModel(
            f"The model in {folder} belongs to the engine '{card.engine}', not '{engine}'.", "Choose a matching model."
        )
    return card


def read_weights(folder: Path, card: ModelCard | None = None) -> Tensors:
    """The weights as float32 arrays by name; raises BadModel for anything but the very bytes the card names."""
    card = card or read_card(folder)
    stored = _tensors(folder, WEIGHTS, card.weights.sha256)
    return {name: array.astype(np.float32) if array.dtype == np.float16 else array for name, array in stored.items()}


def read_calibration(folder: Path, card: ModelCard | None = None) -> Tensors:
    """The calibration's arrays by name; raises BadModel like read_weights."""
    card = card or read_card(folder)
    return _tensors(folder, CALIBRATION, card.calibration.sha256)


def load(folder: Path, engine: str = "") -> LoadedModel:
    """Card, weights and calibration of a model, all checked."""
    card = read_card(folder, engine)
    return LoadedModel(card, read_weights(folder, card), read_calibration(folder, card))


def verify(folder: Path) -> ModelCard:
    """Check every file of a model; returns its card or raises BadModel with the first fault."""
    card = load(folder).card
    if not (folder / README).is_file():
        raise BadModel(f"The model in {folder} has no {README}.", "Add the model again from its source.")
    return card


def find_models(folders: Iterable[Path], on_bad: Callable[[Path, BadModel], None] | None = None) -> list[Model]:
    """Every model lying directly in one of the folders, earlier folders first; tells `on_bad` of damaged ones."""
    found: list[Model] = []
    for parent in folders:
        children = sorted(parent.iterdir()) if parent.is_dir() else []
        for folder in children:
            if folder.name.startswith(".") or not (folder / CARD).is_file():
                continue
            try:
                found.append(Model(folder, read_card(folder)))
            except BadModel as fault:
                if on_bad:
                    on_bad(folder, fault)
    return found


def choose(models: Iterable[Model], engine: str, modality: str = "") -> Model:
    """The first model of an engine for a modality; a model or series that states no modality fits any.

    Raises BadInput telling which models there are.
    """
    own = [model for model in models if model.card.engine == engine]
    fitting = [model for model in own if modality in ("", model.card.modality) or not model.card.modality]
    if fitting:
        return fitting[0]
    if not own:
        raise BadInput(f"There is no model for the engine '{engine}'.", "Train one, or add one with `models add`.")
    known = ", ".join(sorted({model.card.modality for model in own}))
    raise BadInput(f"The models of '{engine}' are made for {known}, not for {modality}.", "Name one with --model.")


def _write(folder: Path, card: ModelCard, weights: bytes, calibration: bytes) -> ModelCard:
    sealed = card.sealed(hashlib.sha256(weights).hexdigest(), hashlib.sha256(calibration).hexdigest())
    with whole_folder(folder, marker=CARD) as fresh:
        (fresh / WEIGHTS).write_bytes(weights)
        (fresh / CALIBRATION).write_bytes(calibration)
        (fresh / README).write_text(sealed.readme(), encoding="utf-8")
        (fresh / CARD).write_text(sealed.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return sealed


def _arrays(tensors: Mapping[str, Any], half: bool = False) -> Tensors:
    return {name: _array(name, tensor, half) for name, tensor in tensors.items()}


def _array(name: str, tensor: Any, half: bool) -> NDArray[Any]:
    array = np.ascontiguousarray(tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else tensor)
    if not (half and array.dtype.kind == "f"):
        return array
    if array.size and np.abs(array).max() > np.finfo(np.float16).max:
        raise ValueError(f"weight '{name}' does not fit in float16")
    return array.astype(np.float16)


def _tensors(folder: Path, name: str, sha256: str) -> Tensors:
    content = _checked_bytes(folder, name, sha256)
    try:
        tensors: Tensors = parse_tensors(content)
    # Whatever a hostile header provokes in the parser or in numpy's reshape, it is a bad model and nothing else.
    except (SafetensorError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise BadModel(f"{name} in {folder} is not a valid tensor file.", "Add the model again.") from error
    return tensors


def _checked_bytes(folder: Path, name: str, sha256: str) -> bytes:
    # One read for check and use: the file cannot change in between.
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise BadModel(f"The model in {folder} has no readable {name}.", "Add the model again.") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BadModel(f"{name} in {folder} is damaged or was altered.", "Add the model again from its source.")
    return content


def _card_fault(folder: Path, error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if where == "schema_version":
        return f"The model in {folder} has another format than version {SCHEMA_VERSION}, the only one known here."
    return f"{CARD} in {folder} is not a valid model card: {where + ': ' if where else ''}{first['msg']}."
