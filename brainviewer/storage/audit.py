"""The audit trail: who opened, ran, edited, exported and sent what, and when. Entries are only ever added.

Each entry holds the digest of the one before it, so that a changed, removed or inserted entry breaks the chain; the
newest digest and the count are kept in a file beside it, so that cut-off entries are missed too. Who can write both
files and knows this program can forge a whole trail: keep the digest that `verify` tells somewhere else.

No entry names a patient. Studies are told by a digest of their UID: who knows the UID can find its entries.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import getpass
import hashlib
import io
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from brainviewer.storage import folders
from brainviewer.storage.files import write_whole
from engines import KnownError

What = Literal["open", "run", "edit", "export", "report", "send", "fetch"]
START = "0" * 64
SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    number INTEGER PRIMARY KEY, time TEXT NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, study TEXT NOT NULL,
    details TEXT NOT NULL, digest TEXT NOT NULL
) STRICT
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. study: digest of its UID, "" for none. details: JSON. digest: of this and all before."""

    number: int
    time: str
    who: str
    what: str
    study: str
    details: str
    digest: str

    def expected_digest(self, previous: str) -> str:
        """What the digest has to be after an entry with that digest."""
        content = [previous, self.number, self.time, self.who, self.what, self.study, self.details]
        return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the trail is whole. head: digest of its last entry. problem: a sentence, "" where it is sound."""

    entries: int
    head: str
    problem: str = ""


def path() -> Path:
    """The trail's file."""
    return folders.data_dir() / "audit.sqlite"


def head_path() -> Path:
    """The newest digest, apart from the trail."""
    return folders.data_dir() / "audit.head"


def study_digest(uid: str) -> str:
    """How a study is called in the trail."""
    return hashlib.sha256(f"brainviewer study {uid}".encode("utf-8", "surrogatepass")).hexdigest()[:32] if uid else ""


def note(what: What, study_uid: str = "", **details: str | int | bool | list[str]) -> Entry:
    """Add an entry; raises KnownError where it cannot be written. details: nothing about the patient."""
    with _database() as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            last = db.execute("SELECT number, digest FROM entry ORDER BY number DESC LIMIT 1").fetchone()
            number, previous = (last[0] + 1, last[1]) if last else (1, START)
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
            text = json.dumps(details, sort_keys=True)
            draft = Entry(number, now, _user(), what, study_digest(study_uid), text, "")
            digest = draft.expected_digest(previous)
            entry = Entry(number, now, draft.who, what, draft.study, text, digest)
            row = (number, now, entry.who, what, entry.study, text, digest)
            db.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            write_whole(head_path(), f"{number} {digest}\n".encode())
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    return entry


def entries(study_uid: str = "") -> tuple[Entry, ...]:
    """The whole trail, or that of one study, oldest first."""
    if not path().exists():
        return ()
    with _database() as db:
        rows = db.execute("SELECT number, time, who, what, study, details, digest FROM entry ORDER BY number")
        found = tuple(Entry(*row) for row in rows)
    wanted = study_digest(study_uid)
    return tuple(one for one in found if not wanted or one.study == wanted)


def verify() -> Verdict:
    """Walk the chain from its first entry to its last."""
    previous, number, found = START, 0, entries()
    for one in found:
        number += 1
        if one.number != number:
            return Verdict(len(found), previous, f"Entry {number} is missing.")
        if one.digest != one.expected_digest(previous):
            return Verdict(len(found), previous, f"Entry {number} was changed, or one before it was removed.")
        previous = one.digest
    kept = _head()
    if kept != (number, previous):
        said = f"{kept[0]} entries" if kept[1] else "no entries"
        return Verdict(len(found), previous, f"The trail has {number} entries, but {said} were written.")
    return Verdict(len(found), previous)


def as_csv(trail: tuple[Entry, ...]) -> bytes:
    """The trail as a table, with the digests to check it elsewhere."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["number", "time", "who", "what", "study", "details", "digest"])
    table.writerows([one.number, one.time, one.who, one.what, one.study, one.details, one.digest] for one in trail)
    return text.getvalue().encode("utf-8")


def _head() -> tuple[int, str]:
    try:
        number, digest = head_path().read_text(encoding="ascii").split()
        return int(number), digest
    except FileNotFoundError:
        return 0, START
    except (OSError, ValueError):
        return -1, ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


@contextlib.contextmanager
def _database() -> Iterator[sqlite3.Connection]:
    folders.make(path().parent)
    try:
        os.close(os.open(path(), os.O_CREAT | os.O_RDWR, 0o600))
        db = sqlite3.connect(path(), timeout=10.0, isolation_level=None)
        try:
            db.execute("PRAGMA synchronous = FULL")
            db.execute(SCHEMA)
            yield db
        finally:
            db.close()
    except (sqlite3.Error, OSError) as error:
        raise KnownError(
            f"The audit trail {path()} cannot be used: {error}.", "Check its permissions and free space."
        ) from error
