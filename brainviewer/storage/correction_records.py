"""The records of a correction's journal: checksummed, chained, and read up to the first one that is not whole.

A record is its length (uint32), a checksum (uint32, CRC-32 of the content, begun with the record before) and its
content: a kind (one character), and for an edit what an Edit holds. Little endian throughout.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from brainviewer.study.mask_edit import Box, Edit, SliceState, StateChange

MAGIC = b"BrainViewer corrections 1\n"
_HEAD = struct.Struct("<II")
_EDIT = struct.Struct("<d6iHH")
_STATE = struct.Struct("<iBB")
# Far more than the largest edit can take; a longer length is a damaged one.
MOST_BYTES = 1 << 31


class Kind(Enum):
    """What happened."""

    EDIT = b"E"
    UNDO = b"U"
    REDO = b"R"
    VERSION = b"V"
    CLOSED = b"C"


@dataclass(frozen=True, slots=True)
class Event:
    """One record. edit: for EDIT. text, at: name and time (seconds since 1970) of a version, time of closing."""

    kind: Kind
    edit: Edit | None = None
    text: str = ""
    at: float = 0.0


def encode(event: Event) -> bytes:
    """The content of a record."""
    if event.edit is None:
        return event.kind.value + struct.pack("<d", event.at) + event.text.encode()
    edit, what = event.edit, event.edit.what.encode()
    states = b"".join(_STATE.pack(change.index, change.before, change.after) for change in edit.states)
    head = _EDIT.pack(edit.at, *edit.box.i, *edit.box.j, *edit.box.k, len(what), len(edit.states))
    return event.kind.value + head + what + states + zlib.compress(edit.flips, 1)


def decode(content: bytes) -> Event:
    """An event from the content of a record; raises ValueError for anything else."""
    try:
        kind, body = Kind(content[:1]), content[1:]
        if kind is not Kind.EDIT:
            return Event(kind, text=body[8:].decode(), at=struct.unpack_from("<d", body)[0])
        return Event(kind, _edit(body))
    except (struct.error, zlib.error, UnicodeDecodeError) as error:
        raise ValueError("not a record of corrections") from error


def _edit(body: bytes) -> Edit:
    at, i0, i1, j0, j1, k0, k1, letters, count = _EDIT.unpack_from(body)
    begin = _EDIT.size + letters
    what = body[_EDIT.size : begin].decode()
    box = Box((i0, i1), (j0, j1), (k0, k1))
    changes = [_STATE.unpack_from(body, begin + n * _STATE.size) for n in range(count)]
    states = tuple(StateChange(index, SliceState(before), SliceState(after)) for index, before, after in changes)
    flips = zlib.decompress(body[begin + count * _STATE.size :])
    if len(flips) != (box.voxels + 7) // 8:
        raise ValueError("an edit whose box and voxels do not fit together")
    return Edit(what, box, flips, states, at)


def framed(content: bytes, chain: int) -> tuple[bytes, int]:
    """A record ready to be written, and the checksum that the next one begins with."""
    checksum = zlib.crc32(content, chain)
    return _HEAD.pack(len(content), checksum) + content, checksum


def is_torn(rest: bytes) -> bool:
    """True for a record that was cut off while it was written: nothing that could be used."""
    return len(rest) < _HEAD.size or len(rest) < _HEAD.size + _HEAD.unpack_from(rest)[0]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record ends: bytes from the beginning of the file, and the checksum that the next one begins with."""

    offset: int = len(MAGIC)
    chain: int = 0


def records(data: bytes, begin: Place | None = None) -> Iterator[tuple[Event, Place]]:
    """Events of a journal in their order, each with where it ends; stops before the first damaged or cut one."""
    place = begin or Place()
    if begin is None and not data.startswith(MAGIC):
        return
    while len(data) >= place.offset + _HEAD.size:
        length, checksum = _HEAD.unpack_from(data, place.offset)
        start = place.offset + _HEAD.size
        content = data[start : start + length]
        if length > MOST_BYTES or len(content) < length or zlib.crc32(content, place.chain) != checksum:
            return
        try:
            event = decode(content)
        except ValueError:
            return
        place = Place(start + length, checksum)
        yield event, place
