"""Corrections on disk: a folder each, with the untouched automatic mask, the journal of all steps, and versions.

corrections/<digest of the series>/<key>/
    correction.json       what was corrected, by whom, from which run; never a patient's name
    automatic.bits        the mask as the engine made it
    journal.log           every step, undo and redo since the beginning
    version-NNNNNN.bits   the mask and the slice states at a moment; the way back should the journal suffer

Everything is written so that a crash at any moment leaves the state before the step or after it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainviewer.storage import correction_journal, folders
from brainviewer.storage.correction_records import Kind, Place, records
from brainviewer.storage.files import write_whole
from brainviewer.study.correction import Correction
from engines import KnownError

SCHEMA_VERSION = 1
ABOUT, AUTOMATIC, JOURNAL = "correction.json", "automatic.bits", "journal.log"
# Unnamed versions beyond so many are deleted, the oldest first.
KEPT_VERSIONS = 5

Affine = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class About:
    """What a correction is of.

    series, study: their uids. run, engine, title, model_digest: the run whose mask it began with; "" for an imported
    one. percentile: healthy percentile of that mask's threshold. reader: who corrects. created: seconds since 1970.
    shape, affine (voxel -> RAS+ mm), slice_axis: the grid.
    """

    series: str
    study: str
    reader: str
    shape: tuple[int, int, int]
    affine: Affine
    slice_axis: int
    run: str = ""
    engine: str = ""
    title: str = ""
    model_digest: str = ""
    percentile: float = math.nan
    created: float = field(default_factory=time.time)
    key: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class Version:
    """A kept state. name: given by the reader, or "". place: where the journal stood."""

    path: Path
    name: str
    at: float
    place: Place
    states: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A correction read from its folder.

    place: where the journal goes on. interrupted: time of the last step (seconds since 1970) where the program ended
    without closing it, else None. lost: True where a damaged journal cost the way back beyond the last version.
    """

    about: About
    correction: Correction
    place: Place
    interrupted: float | None
    lost: bool


def folder(about: About) -> Path:
    """Where a correction lies; digests and random names only."""
    return _series_folder(about.series) / about.key


def _series_folder(series_uid: str) -> Path:
    return folders.data_dir() / "corrections" / hashlib.sha256(series_uid.encode()).hexdigest()[:32]


def of_series(series_uid: str) -> tuple[About, ...]:
    """The corrections of a series, the newest first; damaged ones are passed over."""
    return _abouts(_series_folder(series_uid).glob(f"*/{ABOUT}"))


def everything() -> tuple[About, ...]:
    """All corrections, the newest first."""
    return _abouts((folders.data_dir() / "corrections").glob(f"*/*/{ABOUT}"))


def interrupted(most: int = 20) -> tuple[tuple[About, float], ...]:
    """Corrections that nobody closed, with the time of the last step, newest first: left by a crash.

    most: only so many of the newest are looked at.
    """
    found = []
    for about in everything()[:most]:
        path = folder(about) / JOURNAL
        with contextlib.suppress(KnownError):
            last = None
            at = about.created
            for event, _ in records(correction_journal.read(path)):
                last, at = event, event.edit.at if event.edit is not None else at
            if last is not None and last.kind is not Kind.CLOSED and not correction_journal.is_open(path):
                found.append((about, at))
    return tuple(sorted(found, key=lambda one: one[1], reverse=True))


def _abouts(paths: Iterator[Path]) -> tuple[About, ...]:
    found = []
    for path in paths:
        with contextlib.suppress(KnownError):
            found.append(_read_about(path))
    return tuple(sorted(found, key=lambda about: about.created, reverse=True))


# Beginning


def create(about: About, automatic: NDArray[np.uint8]) -> None:
    """Write the folder of a new correction; raises KnownError where that cannot be done."""
    at = folder(about)
    write_whole(at / AUTOMATIC, _packed(automatic))
    facts = asdict(about) | {"schema_version": SCHEMA_VERSION, "percentile": _known(about.percentile)}
    facts["automatic_sha256"] = hashlib.sha256((at / AUTOMATIC).read_bytes()).hexdigest()
    write_whole(at / ABOUT, (json.dumps(facts, indent=1) + "\n").encode())


def _read_about(path: Path) -> About:
    facts = _facts(path)
    facts["percentile"] = math.nan if facts["percentile"] is None else facts["percentile"]
    facts["shape"] = tuple(facts["shape"])
    facts["affine"] = tuple(tuple(row) for row in facts["affine"])
    del facts["schema_version"], facts["automatic_sha256"]
    try:
        return About(**facts)
    except TypeError as error:
        raise _damaged(path.parent) from error


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["schema_version"] != SCHEMA_VERSION:
            raise KnownError(
                f"The corrections in {path.parent} have the format {facts['schema_version']}, not {SCHEMA_VERSION}.",
                "Update BrainViewer.",
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path.parent) from error
    return dict(facts)


def _damaged(at: Path) -> KnownError:
    return KnownError(f"The corrections in {at} are damaged.", "Begin a new correction from the run.")


# Reading


def load(at: Path) -> Loaded:
    """A correction with all its steps. Reading never changes a file."""
    about = _read_about(at / ABOUT)
    automatic = _automatic(at, about)
    correction = Correction(automatic, about.slice_axis)
    data = correction_journal.read(at / JOURNAL)
    place, last = correction_journal.replay(correction, records(data))
    lost = False
    newest = next((one for one in versions(at) if one.place.offset > place.offset), None)
    if newest is not None:
        # The journal is damaged before a version was kept: go on from there.
        correction = Correction.restored(automatic, about.slice_axis, *read_version(newest, about.shape))
        place, last = correction_journal.replay(correction, records(data, newest.place))
        place, lost = max(place, newest.place, key=lambda one: one.offset), True
    interrupted = None
    if place.offset and (last is not None or lost) and (last is None or last.kind is not Kind.CLOSED):
        steps = (*correction.edits, *correction.undone)
        interrupted = max((edit.at for edit in steps), default=about.created)
    if last is None and not lost:
        place = Place(0)
    return Loaded(about, correction, place, interrupted, lost)


def _automatic(at: Path, about: About) -> NDArray[np.uint8]:
    try:
        packed = (at / AUTOMATIC).read_bytes()
    except OSError as error:
        raise _damaged(at) from error
    if hashlib.sha256(packed).hexdigest() != _facts(at / ABOUT)["automatic_sha256"]:
        raise _damaged(at)
    return _unpacked(packed, about.shape)


# Versions


def keep_version(at: Path, mask: NDArray[np.uint8], states: NDArray[np.uint8], place: Place, name: str = "") -> Version:
    """Write the mask and the states of a moment; raises KnownError where that cannot be done."""
    numbers = [int(path.stem.removeprefix("version-")) for path in at.glob("version-*.bits")]
    path = at / f"version-{max(numbers, default=0) + 1:06d}.bits"
    now = time.time()
    facts = {"name": name, "at": now, "offset": place.offset, "chain": place.chain, "states": states.tolist()}
    head = json.dumps(facts).encode() + b"\n"
    body = _packed(mask)
    write_whole(path, hashlib.sha256(head + body).digest() + head + body)
    unnamed = [one for one in versions(at) if not one.name]
    for old in unnamed[KEPT_VERSIONS:]:
        old.path.unlink(missing_ok=True)
    return Version(path, name, now, place, tuple(states.tolist()))


def versions(at: Path) -> tuple[Version, ...]:
    """Kept versions, the newest first; damaged ones are passed over."""
    found = []
    for path in sorted(at.glob("version-*.bits"), reverse=True):
        with contextlib.suppress(KnownError):
            facts, _ = _version(path)
            place = Place(facts["offset"], facts["chain"])
            found.append(Version(path, facts["name"], facts["at"], place, tuple(facts["states"])))
    return tuple(found)


def read_version(version: Version, shape: tuple[int, int, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Mask and states of a version."""
    facts, body = _version(version.path)
    return _unpacked(body, shape), np.array(facts["states"], np.uint8)


def _version(path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        data = path.read_bytes()
        head, _, body = data[32:].partition(b"\n")
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            raise _damaged(path.parent)
        return json.loads(head), body
    except (OSError, ValueError) as error:
        raise _damaged(path.parent) from error


def _packed(mask: NDArray[np.uint8]) -> bytes:
    return zlib.compress(np.packbits(mask > 0).tobytes(), 1)


def _unpacked(packed: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    try:
        bits = np.unpackbits(np.frombuffer(zlib.decompress(packed), np.uint8), count=math.prod(shape))
        return bits.reshape(shape)
    except (zlib.error, ValueError) as error:
        raise KnownError("A mask of these corrections is damaged.", "Begin a new correction from the run.") from error


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
