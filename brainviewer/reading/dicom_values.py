"""Read values out of a DICOM data set that may hold anything: absent or absurd values become empty ones.

Plain text and numbers are taken from the raw bytes: a third of the time that pydicom's own conversion takes,
which counts when a folder holds thousands of files. Everything else goes through pydicom.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from functools import cache
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

Numbers = tuple[float, ...]

PLAIN_TEXT = ("UI", "CS", "DA")
DECIMALS = ("DS", "IS")


@cache
def tag_of(keyword: str) -> BaseTag:
    """The tag of a keyword of the standard."""
    return Tag(keyword)


@cache
def _representation(keyword: str) -> str:
    return dictionary_VR(keyword)


def _raw(dataset: Dataset, keyword: str) -> tuple[str, bytes, bool] | None:
    """(value representation, bytes, little endian) of an element nobody has converted yet."""
    element = dataset.get_item(tag_of(keyword))
    if not isinstance(element, RawDataElement) or not isinstance(element.value, bytes):
        return None
    stated = element.VR
    return _representation(keyword) if stated in (None, "UN") else stated, element.value, element.is_little_endian


def text(dataset: Dataset, keyword: str) -> str:
    """A value as one line of text, "" where absent; control characters cannot reach a terminal."""
    if tag_of(keyword) not in dataset:
        return ""
    raw = _raw(dataset, keyword)
    if raw is not None and raw[0] in PLAIN_TEXT:
        value = raw[1].decode("ascii", "replace")
    else:
        found = dataset.get(keyword)
        value = "" if found is None else str(found)
    if not value.isprintable():
        value = "".join(letter for letter in value if letter.isprintable())
    return value.strip()


def many_texts(dataset: Dataset, keyword: str) -> list[str]:
    """All values of an element as texts."""
    if tag_of(keyword) not in dataset:
        return []
    raw = _raw(dataset, keyword)
    if raw is not None and raw[0] in PLAIN_TEXT:
        whole_text = raw[1].decode("ascii", "replace").rstrip(" \0")
        return [part.strip() for part in whole_text.split("\\")] if whole_text else []
    value = dataset.get(keyword)
    if value is None or value == "":
        return []
    return [str(value)] if isinstance(value, str) else [str(item) for item in value]


def numbers(dataset: Dataset | None, keyword: str) -> Numbers:
    """All values of an element as finite floats, () where absent or not numbers."""
    if dataset is None or tag_of(keyword) not in dataset:
        return ()
    try:
        found = tuple(float(item) for item in _items(dataset, keyword))
    except (TypeError, ValueError, struct.error):
        return ()
    return found if all(math.isfinite(item) for item in found) else ()


def _items(dataset: Dataset, keyword: str) -> Iterable[Any]:
    raw = _raw(dataset, keyword)
    if raw is not None and raw[0] in DECIMALS:
        value = raw[1].rstrip(b" \0")
        return value.split(b"\\") if value else ()
    if raw is not None and raw[0] == "US":
        return struct.unpack(f"{'<' if raw[2] else '>'}{len(raw[1]) // 2}H", raw[1])
    found = dataset.get(keyword)
    if found is None or found == "":
        return ()
    return found if hasattr(found, "__iter__") and not isinstance(found, str) else (found,)


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
    if dataset is None or tag_of(keyword) not in dataset:
        return None
    sequence = dataset.get(keyword)
    return sequence[0] if sequence else None


def seek(source: Dataset | None, sequence: str, keyword: str) -> Numbers:
    """A number in a functional group, or of that name at the top level of a classic file."""
    inner = first(source, sequence)
    return numbers(inner if inner is not None else source, keyword)
