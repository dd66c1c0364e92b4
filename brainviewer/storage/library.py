"""What the user has worked with: studies, their series, tags and runs. Originals are referenced, never copied."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from brainviewer.storage import database, folders
from brainviewer.storage.queue import Queue
from brainviewer.study import Study
from engines import KnownError


@dataclass(frozen=True, slots=True)
class StudyEntry:
    """A study of the library. path: where its files lay when it was opened. runs: how many are kept."""

    uid: str
    title: str
    date: str
    path: Path
    modality: str
    opened: datetime
    thumbnail: str
    series: int
    runs: int
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunEntry:
    """A kept run; its files lie in runs.folder(key). model: folder it was made with. score..: NaN where unknown."""

    key: str
    study: str
    series: str
    engine: str
    title: str
    model: str
    model_digest: str
    created: datetime
    seconds: float
    score: float
    score_percentile: float


def file() -> Path:
    """Where the library lies."""
    return folders.data_dir() / "library.sqlite"


def open_or_in_memory() -> tuple[Library, KnownError | None]:
    """The user's library; where it cannot be used one in memory, and why. The window works all the same."""
    try:
        return Library(), None
    except KnownError as error:
        return Library(database.in_memory()), error


class Library:
    """The library, with one connection. Every method is quick enough for the window; changes are whole or not made.

    Raises KnownError where the file cannot be written.
    """

    def __init__(self, connection: sqlite3.Connection | None = None) -> None:
        self._db = connection or database.connect(file())
        self.queue = Queue(self._db, self._change)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextlib.contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise KnownError(
                    f"The library cannot be changed: {error}.", "Check free space and permissions."
                ) from error
            raise

    def remember(self, study: Study, thumbnail: str = "") -> None:
        """Take a study in, or note that it was opened again, perhaps from another place."""
        modality = ", ".join(dict.fromkeys(series.modality or series.kind for series in study.series))
        now = datetime.now(UTC).isoformat()
        path = str(study.path.resolve())
        words = _words(study.title, study.date, modality, path, *(series.title for series in study.series))
        with self._change() as db:
            db.execute(
                "INSERT INTO study VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uid) DO UPDATE SET "
                "title = excluded.title, date = excluded.date, path = excluded.path, modality = excluded.modality, "
                "opened = excluded.opened, thumbnail = excluded.thumbnail, words = excluded.words",
                (study.uid, study.title, study.date, path, modality, now, thumbnail, words),
            )
            db.execute("DELETE FROM series WHERE study = ?", (study.uid,))
            db.executemany(
                "INSERT OR IGNORE INTO series VALUES (?, ?, ?, ?, ?)",
                [(one.uid, study.uid, one.title, one.modality, one.kind) for one in study.series],
            )

    def studies(
        self, text: str = "", *, tag: str = "", only_with_runs: bool = False, most: int = 200
    ) -> tuple[StudyEntry, ...]:
        """Studies that hold every word of the text in title, date, modality, path, series or tags; newest first."""
        where, values = ["1"], []
        for word in text.casefold().split():
            where.append("(words LIKE ? ESCAPE '\\' OR uid IN (SELECT study FROM tag WHERE name LIKE ? ESCAPE '\\'))")
            values += [_like(word)] * 2
        if tag:
            where.append("uid IN (SELECT study FROM tag WHERE name = ?)")
            values.append(tag)
        if only_with_runs:
            where.append("uid IN (SELECT study FROM run)")
        rows = self._db.execute(
            "SELECT *, (SELECT count(*) FROM series WHERE series.study = study.uid) AS series, "
            "(SELECT count(*) FROM run WHERE run.study = study.uid) AS runs, (SELECT group_concat(name, char(10)) "
            "FROM (SELECT name FROM tag WHERE tag.study = study.uid ORDER BY name)) AS tags "
            f"FROM study WHERE {' AND '.join(where)} ORDER BY opened DESC LIMIT ?",  # noqa: S608 - constant parts only
            (*values, most),
        )
        return tuple(_study(row) for row in rows)

    def forget(self, study_uid: str) -> tuple[str, ...]:
        """Take a study out with its tags and runs; returns the keys of the runs, whose files may go too."""
        keys = tuple(run.key for run in self.runs(study_uid))
        with self._change() as db:
            db.execute("DELETE FROM study WHERE uid = ?", (study_uid,))
        return keys

    def tag(self, study_uid: str, names: tuple[str, ...]) -> None:
        """Give a study these tags and no others."""
        kept = {" ".join(name.split()).casefold() for name in names} - {""}
        with self._change() as db:
            db.execute("DELETE FROM tag WHERE study = ?", (study_uid,))
            db.executemany("INSERT INTO tag VALUES (?, ?)", [(study_uid, name) for name in sorted(kept)])

    def tags(self) -> tuple[str, ...]:
        """Every tag in use."""
        return tuple(row["name"] for row in self._db.execute("SELECT DISTINCT name FROM tag ORDER BY name"))

    def add_run(self, run: RunEntry) -> None:
        """Note a kept run of a remembered study."""
        numbers = (run.seconds, _known(run.score), _known(run.score_percentile))
        with self._change() as db:
            db.execute(
                "INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    run.key, run.study, run.series, run.engine, run.title, run.model, run.model_digest,
                    run.created.isoformat(), *numbers,
                ),
            )  # fmt: skip

    def runs(self, study_uid: str) -> tuple[RunEntry, ...]:
        """Kept runs of a study, oldest first."""
        rows = self._db.execute("SELECT * FROM run WHERE study = ? ORDER BY created", (study_uid,))
        return tuple(_run(row) for row in rows)

    def remove_run(self, key: str) -> None:
        """Forget a run."""
        with self._change() as db:
            db.execute("DELETE FROM run WHERE key = ?", (key,))

    def series(self, study_uid: str) -> tuple[tuple[str, str], ...]:
        """UID and modality of each series of a study."""
        rows = self._db.execute("SELECT uid, modality FROM series WHERE study = ?", (study_uid,))
        return tuple((row["uid"], row["modality"]) for row in rows)

    def run_keys(self) -> frozenset[str]:
        """Keys of all kept runs."""
        return frozenset(row["key"] for row in self._db.execute("SELECT key FROM run"))


def _words(*parts: str) -> str:
    return "\n".join(parts).casefold()


def _like(word: str) -> str:
    for special in "\\%_":
        word = word.replace(special, "\\" + special)
    return f"%{word}%"


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _study(row: sqlite3.Row) -> StudyEntry:
    facts = {name: row[name] for name in ("uid", "title", "date", "modality", "thumbnail", "series", "runs")}
    tags = tuple(row["tags"].split("\n")) if row["tags"] else ()
    return StudyEntry(**facts, path=Path(row["path"]), opened=datetime.fromisoformat(row["opened"]), tags=tags)


def _run(row: sqlite3.Row) -> RunEntry:
    facts: dict[str, Any] = {key: math.nan if row[key] is None else row[key] for key in row.keys()}  # noqa: SIM118
    facts["created"] = datetime.fromisoformat(row["created"])
    return RunEntry(**facts)
