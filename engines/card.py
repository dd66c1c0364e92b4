"""What a menu needs to know about an engine, without importing torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Card:
    """One engine, described.

    key: folder name and command-line word. title: the name on screen. paper: citation.
    dims: "2D", "3D" or "2D+3D", the data the network sees (a 2D engine works on volumes slice by slice).
    supervision: what it learns from, in words. inputs: modalities for which a model is bundled or sensible.
    load: "module:Class" of the engine, imported in the worker only.
    settings: "module:Class" of its frozen Settings dataclass (import must not need torch).
    """

    key: str
    title: str
    paper: str
    dims: str
    supervision: str
    inputs: tuple[str, ...]
    load: str
    settings: str
