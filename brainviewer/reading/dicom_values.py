"""Read values out of a DICOM data set that may hold anything: absent or absurd values become empty ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from pydicom.dataset import Dataset

Numbers = tuple[float, ...]


def text(dataset: Dataset, keyword: str) -> str:
    """A value as one line of text, "" where absent; control characters cannot reach a terminal."""
    value = dataset.get(keyword)
    if value is None:
        return ""
    return "".join(letter for letter in str(value) if letter.isprintable()).strip()


def many_texts(dataset: Dataset, keyword: str) -> list[str]:
    """All values of an element as texts."""
    value = dataset.get(keyword)
    if value is None or value == "":
        return []
    return [str(value)] if isinstance(value, str) else [str(item) for item in value]


def numbers(dataset: Dataset | None, keyword: str) -> Numbers:
    """All values of an element as finite floats, () where absent or not numbers."""
    value = dataset.get(keyword) if dataset is not None else None
    if value is None or value == "":
        return ()
    items: Iterable[Any] = value if hasattr(value, "__iter__") and not isinstance(value, str) else (value,)
    try:
        found = tuple(float(item) for item in items)
    except (TypeError, ValueError):
        return ()
    return found if all(math.isfinite(item) for item in found) else ()


def whole(dataset: Dataset, keyword: str, default: int) -> int:
    """The first value of an element as an integer."""
    found = numbers(dataset, keyword)
    return int(found[0]) if found else default


def only(found: Numbers, count: int) -> Numbers:
    """The numbers if there are exactly so many, else ()."""
    return found if len(found) == count else ()


def one(found: Numbers) -> float:
    """The first number, 0 where there is none."""
    return found[0] if found else 0.0


def first(dataset: Dataset | None, keyword: str) -> Dataset | None:
    """The first item of a sequence, None where there is none."""
    sequence = dataset.get(keyword) if dataset is not None else None
    return sequence[0] if sequence else None


def seek(source: Dataset | None, sequence: str, keyword: str) -> Numbers:
    """A number in a functional group, or of that name at the top level of a classic file."""
    inner = first(source, sequence)
    return numbers(inner if inner is not None else source, keyword)
