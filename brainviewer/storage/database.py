"""The library's SQLite file: opening it safely, and bringing an older one to today's form."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from brainviewer.storage import folders
from brainviewer.storage.files import put_aside
from engines import KnownError

# Each entry brings a library one version further; entries are only ever added.
MIGRATIONS = (
    """
    CREATE TABLE study (
        uid TEXT PRIMARY KEY, title TEXT NOT NULL, date TEXT NOT NULL, path TEXT NOT NULL, modality TEXT NOT NULL,
        opened TEXT NOT NULL, thumbnail TEXT NOT NULL, words TEXT NOT NULL
    ) STRICT;
    CREATE INDEX study_opened ON study (opened);
    CREATE TABLE series (
        uid TEXT NOT NULL, study TEXT NOT NULL REFERENCES study ON DELETE CASCADE, title TEXT NOT NULL,
        modality TEXT NOT NULL, kind TEXT NOT NULL, PRIMARY KEY (study, uid)
    ) STRICT;
    CREATE TABLE tag (
        study TEXT NOT NULL REFERENCES study ON DELETE CASCADE, name TEXT NOT NULL, PRIMARY KEY (study, name)
    ) STRICT;
    CREATE TABLE run (
        key TEXT PRIMARY KEY, study TEXT NOT NULL REFERENCES study ON DELETE CASCADE, series TEXT NOT NULL,
        engine TEXT NOT NULL, title TEXT NOT NULL, model TEXT NOT NULL, model_digest TEXT NOT NULL,
        created TEXT NOT NULL, seconds REAL NOT NULL, score REAL, score_percentile REAL
    ) STRICT;
    CREATE INDEX run_study ON run (study, created);
    """,
    """
    CREATE TABLE queue (
        id INTEGER PRIMARY KEY AUTOINCREMENT, study TEXT NOT NULL REFERENCES study ON DELETE CASCADE,
        study_title TEXT NOT NULL, path TEXT NOT NULL, series TEXT NOT NULL, engine TEXT NOT NULL, model TEXT NOT NULL,
        title TEXT NOT NULL, device TEXT NOT NULL, state TEXT NOT NULL, message TEXT NOT NULL, owner INTEGER NOT NULL
    ) STRICT;
    """,
)


def connect(path: Path) -> sqlite3.Connection:
    """Open (or make) the library file; raises KnownError where that cannot be done.

    A file that is no database is renamed, never deleted. Titles may hold patient names: only the owner may read it.
    """
    folders.make(path.parent)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        try:
            return _opened(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            put_aside(path)
            for rest in ("-wal", "-shm"):
                with contextlib.suppress(OSError):
                    path.with_name(path.name + rest).unlink()
            return _opened(path)
    except (sqlite3.Error, OSError) as error:
        raise KnownError(
            f"The library {path} cannot be opened: {error}.",
            "Check its permissions and free space, or set BRAINVIEWER_HOME to another folder.",
        ) from error


def in_memory() -> sqlite3.Connection:
    """A library that is forgotten at the end, for when the file cannot be used."""
    return _opened(":memory:")


def _opened(path: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None)
    try:
        # WAL: a reader never waits for the writer; NORMAL: a power cut may lose the last change, never the file.
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    connection.row_factory = sqlite3.Row
    return connection


def migrate(connection: sqlite3.Connection, migrations: tuple[str, ...] = MIGRATIONS) -> None:
    """Run the migrations this library has not seen, each whole or not at all."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(migrations):
        raise KnownError(
            f"The library is of version {version}, made by a newer BrainViewer; this one knows {len(migrations)}.",
            "Update BrainViewer, or set BRAINVIEWER_HOME to another folder.",
        )
    for number in range(version, len(migrations)):
        connection.executescript(f"BEGIN IMMEDIATE; {migrations[number]}; PRAGMA user_version = {number + 1}; COMMIT;")
