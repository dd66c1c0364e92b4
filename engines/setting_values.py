"""An engine's Settings from words: `--set name=value` on a command line, or plain values stored with a model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from engines.errors import BadInput


def parse(settings_class: Any, words: Iterable[str]) -> Any:
    """Settings with some fields set by "name=value"; raises BadInput naming the field and what it takes.

    `preset=NAME` starts from settings_class.preset(NAME) where the engine has presets.
    """
    given = dict(_split(word) for word in words)
    preset = given.pop("preset", None)
    hints = get_type_hints(settings_class)
    names = [field.name for field in dataclasses.fields(settings_class)]
    values = {}
    for name, text in given.items():
        if name not in names:
            raise BadInput(f"There is no setting '{name}'.", f"Settings: {', '.join(names)}.")
        values[name] = _value(name, text, hints[name])
    start = settings_class() if preset is None else _preset(settings_class, preset)
    return dataclasses.replace(start, **values)


def restore(settings_class: Any, stored: Mapping[str, Any]) -> Any:
    """Settings from the plain values of a model.json (lists become tuples again); raises BadInput."""
    hints = get_type_hints(settings_class)
    known = {field.name for field in dataclasses.fields(settings_class)}
    if unknown := sorted(set(stored) - known):
        raise BadInput(f"This version knows no setting '{unknown[0]}'.", "Update the program, or train the model anew.")
    return settings_class(**{name: _checked(name, value, hints[name]) for name, value in stored.items()})


def _split(word: str) -> tuple[str, str]:
    name, equals, text = word.partition("=")
    if not equals or not name:
        raise BadInput(f"'{word}' is no setting.", "Write name=value.")
    return name.strip(), text.strip()


def _preset(settings_class: Any, name: str) -> Any:
    if not hasattr(settings_class, "preset"):
        raise BadInput("This engine has no presets.", "Leave preset= out.")
    return settings_class.preset(name)


def _value(name: str, text: str, kind: Any) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        # "5" may be meant as a word, and "1,2" as a list.
        words: Any = text.split(",") if "," in text else text
        return _checked(name, words, kind)


def _checked(name: str, value: Any, kind: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        said = error.errors(include_url=False, include_context=False)[0]["msg"]
        raise BadInput(f"The setting {name} cannot be {value!r}: {said}.", "See the engine's settings.") from error
