"""Finding engines: one folder in engines/ each, or a package that registers `brainviewer.engines`."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import engines
from engines.card import Card
from engines.contract import Engine
from engines.errors import BadInput

ENTRY_POINT_GROUP = "brainviewer.engines"


@cache
def cards() -> dict[str, Card]:
    """Every engine at hand by key. Does not import torch: an engine's __init__ holds only its CARD."""
    found: dict[str, Card] = {}
    for module in pkgutil.iter_modules(engines.__path__):
        # A package without a CARD (blocks) holds what engines share.
        card = getattr(importlib.import_module(f"engines.{module.name}"), "CARD", None) if module.ispkg else None
        if card is not None:
            found[card.key] = card
    for point in entry_points(group=ENTRY_POINT_GROUP):
        card = point.load()
        found.setdefault(card.key, card)
    return dict(sorted(found.items()))


def card(key: str) -> Card:
    """One engine's card; raises BadInput naming the known keys."""
    try:
        return cards()[key]
    except KeyError:
        raise BadInput(f"There is no engine called '{key}'.", f"Known engines: {', '.join(cards())}.") from None


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def engine_class(key: str) -> Any:
    """The engine's class (imports torch)."""
    return _load(card(key).load)


def settings_class(key: str) -> Any:
    """The engine's frozen Settings dataclass (does not import torch)."""
    return _load(card(key).settings)


def bench(key: str) -> Any:
    """What times the parts of an engine: a function of the device that gives rows of facts; raises BadInput."""
    module = f"{card(key).load.partition(':')[0].rpartition('.')[0]}.bench"
    found = getattr(importlib.import_module(module), "bench", None) if importlib.util.find_spec(module) else None
    if found is None:
        raise BadInput(f"The engine '{key}' cannot time its parts.", "Time a model on a volume: bench VOLUME --model.")
    return found


def create(key: str, model: Path, device: str = "auto") -> Engine:
    """An engine ready to detect with the model package in the folder `model`."""
    engine: Engine = engine_class(key)(model, device=device)
    return engine
