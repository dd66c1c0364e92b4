"""The library of studies, tags and runs."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from brainviewer.storage import database, library
from brainviewer.storage.library import Library, RunEntry
from brainviewer.study import Series, Study
from engines import KnownError

EYE = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def a_series(uid: str, modality: str = "FLAIR") -> Series:
    return Series(uid, f"{modality} axial", modality, "MR", "nifti", (Path("a.nii"),), (4, 4, 4), EYE)


def a_study(uid: str = "1.2", title: str = "Head", path: Path = Path("head.nii"), *modalities: str) -> Study:
    series = tuple(a_series(f"{uid}.{n}", one) for n, one in enumerate(modalities or ("FLAIR",)))
    return Study(uid, title, "2026-11-21", path, series)


def a_run(key: str = "k1", study: str = "1.2", *, score: float = 1.5) -> RunEntry:
    return RunEntry(
        key, study, f"{study}.0", "sagan", "SAGAN FLAIR", "models/x", "ab" * 32, datetime.now(UTC), 3.2, score,
        float("nan"),
    )  # fmt: skip


@pytest.fixture
def shelf(tmp_path: Path):
    made = Library(database.connect(tmp_path / "library.sqlite"))
    yield made
    made.close()


def test_studies_come_newest_first_with_what_is_known_of_them(shelf: Library, tmp_path: Path) -> None:
    shelf.remember(a_study("1", "Old", tmp_path / "old", "T1", "T2"))
    shelf.remember(a_study("2", "New"), "picture.npy")
    new, old = shelf.studies()
    assert (new.title, new.thumbnail, new.series, new.modality) == ("New", "picture.npy", 1, "FLAIR")
    assert (old.title, old.modality, old.path, old.runs) == ("Old", "T1, T2", tmp_path / "old", 0)
    assert old.opened <= new.opened
    shelf.remember(a_study("1", "Old", tmp_path / "moved"))
    assert [(one.uid, one.path, one.series) for one in shelf.studies()][0] == ("1", tmp_path / "moved", 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *(("glio", ["1"]), ("GLIO t1", ["1"]), ("glio flair", []), ("100%", ["2"]), ("a_b", [])),
        *(("urgent", ["2"]), ("", ["2", "1"])),
    ],
)
def test_the_search_wants_every_word_and_takes_none_as_a_pattern(shelf: Library, text: str, found: list[str]) -> None:
    shelf.remember(a_study("1", "Glioma", Path("axb"), "T1"))
    shelf.remember(a_study("2", "100% normal"))
    shelf.tag("2", ("Urgent",))
    assert [one.uid for one in shelf.studies(text)] == found


def test_tags_belong_to_a_study_and_go_with_it(shelf: Library) -> None:
    shelf.remember(a_study("1"))
    shelf.remember(a_study("2"))
    shelf.tag("1", (" Teaching  case ", "teaching case", ""))
    assert shelf.tags() == ("teaching case",)
    assert [one.uid for one in shelf.studies(tag="teaching case")] == ["1"]
    shelf.remember(a_study("1", "Opened again"))
    assert shelf.studies(tag="teaching case")[0].tags == ("teaching case",)
    shelf.forget("1")
    assert shelf.tags() == ()


def test_runs_survive_a_restart(shelf: Library, tmp_path: Path) -> None:
    shelf.remember(a_study())
    shelf.add_run(a_run("k1"))
    shelf.add_run(a_run("k2", score=float("inf")))
    shelf.close()
    again = Library(database.connect(tmp_path / "library.sqlite"))
    first, second = again.runs("1.2")
    assert (first.key, first.score, first.seconds) == ("k1", 1.5, 3.2)
    assert second.score != second.score
    assert again.studies(only_with_runs=True)[0].runs == 2
    again.remove_run("k1")
    assert again.run_keys() == {"k2"}
    assert again.forget("1.2") == ("k2",)
    assert again.run_keys() == frozenset()
    again.close()


def test_a_run_of_an_unknown_study_is_refused_and_nothing_changes(shelf: Library) -> None:
    with pytest.raises(KnownError, match="cannot be changed"):
        shelf.add_run(a_run())
    shelf.remember(a_study())
    assert shelf.studies()[0].runs == 0


def test_a_thousand_studies_are_filtered(shelf: Library) -> None:
    for number in range(1000):
        shelf.remember(a_study(f"1.{number}", f"Patient {number} {'glioma' if number % 7 == 0 else 'healthy'}"))
    assert len(shelf.studies("glioma flair", most=1000)) == 143


def test_only_the_owner_may_read_it(shelf: Library, tmp_path: Path) -> None:
    shelf.remember(a_study())
    for path in tmp_path.glob("library.sqlite*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_damaged_library_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite"
    path.write_bytes(b"no database at all, but long enough to be read as one" * 40)
    with_nothing = Library(database.connect(path))
    assert with_nothing.studies() == ()
    with_nothing.close()
    assert (tmp_path / "library.damaged.sqlite").exists()


def test_a_library_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite"
    Library(database.connect(path)).close()
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 999")
    raw.close()
    with pytest.raises(KnownError, match="newer BrainViewer"):
        Library(database.connect(path))
    assert path.exists()


def test_a_migration_keeps_what_was_there_and_a_broken_one_changes_nothing() -> None:
    base = ("CREATE TABLE a (x INTEGER) STRICT",)
    connection = sqlite3.connect(":memory:", isolation_level=None)
    database.migrate(connection, base)
    connection.execute("INSERT INTO a VALUES (5)")
    with pytest.raises(sqlite3.Error):
        database.migrate(connection, (*base, "ALTER TABLE a ADD COLUMN y INTEGER; SELECT nonsense"))
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert [row[1] for row in connection.execute("PRAGMA table_info(a)")] == ["x"]
    database.migrate(connection, (*base, "ALTER TABLE a ADD COLUMN y INTEGER DEFAULT 7"))
    assert connection.execute("SELECT x, y FROM a").fetchall() == [(5, 7)]


def test_a_folder_that_cannot_be_written_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(KnownError, match="cannot be made"):
        Library(database.connect(tmp_path / "file" / "library.sqlite"))


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.storage.test_library import Library, a_study, database
shelf = Library(database.connect(Path(sys.argv[1])))
for number in range(100000):
    shelf.remember(a_study(f"1.{number}"))
    print(number, flush=True)
"""


def test_a_kill_while_writing_loses_no_finished_change(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite"
    root = str(Path(__file__).parents[2])
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), root], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert child.stdout is not None
    told = -1
    for line in child.stdout:
        told = int(line)
        if told >= 40:
            break
    child.kill()
    told = max([told, *(int(line) for line in child.stdout if line.strip().isdigit())])
    child.wait()
    child.stdout.close()
    after = Library(database.connect(path))
    assert len(after.studies(most=100_000)) >= told + 1
    after.close()


def test_the_default_place_is_the_users_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAINVIEWER_HOME", str(tmp_path))
    Library().close()
    assert library.file() == tmp_path / "data" / "library.sqlite"
    assert library.file().exists()
