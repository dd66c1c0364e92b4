"""Settings from words and from stored values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Literal

import pytest

from engines import setting_values
from engines.errors import BadInput


@dataclass(frozen=True)
class Settings:
    width: int = 64
    rate: float = 1e-4
    blend: bool = True
    position: Literal["film", "reference"] = "film"
    betas: tuple[float, float] = (0.5, 0.9)
    note: str = ""
    levels: int | None = None

    @classmethod
    def preset(cls, name: str) -> Settings:
        return replace(cls(), width={"paper": 128}[name])


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("width=8", 8),
        ("rate=3e-5", 3e-5),
        ("rate=1", 1.0),
        ("blend=false", False),
        ("blend=no", False),
        ("position=reference", "reference"),
        ("betas=[0.1, 0.2]", (0.1, 0.2)),
        ("betas=0.1,0.2", (0.1, 0.2)),
        ("note=a = b", "a = b"),
        ("note=5", "5"),
        ("levels=3", 3),
        ("levels=null", None),
    ],
)
def test_words_become_values_of_the_fields_type(word: str, expected: object) -> None:
    found = getattr(setting_values.parse(Settings, [word]), word.partition("=")[0])
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("width=wide", "width cannot be 'wide'"),
        ("width=1.5", "width cannot be"),
        ("position=other", "position cannot be 'other'"),
        ("betas=1", "betas"),
        ("height=3", "no setting 'height'.*width"),
        ("width", "Write name=value"),
    ],
)
def test_wrong_words_are_told(word: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        setting_values.parse(Settings, [word])


def test_preset_is_the_start() -> None:
    assert setting_values.parse(Settings, ["rate=1", "preset=paper"]) == Settings(width=128, rate=1.0)


def test_stored_values_come_back() -> None:
    import json

    settings = Settings(width=3, betas=(0.1, 0.2), levels=2)
    assert setting_values.restore(Settings, json.loads(json.dumps(asdict(settings)))) == settings
    assert setting_values.restore(Settings, {}) == Settings()
    with pytest.raises(BadInput, match="no setting 'colour'"):
        setting_values.restore(Settings, {"colour": 1})
    with pytest.raises(BadInput, match="width"):
        setting_values.restore(Settings, {"width": "wide"})
