"""The audit trail: what is noted, and that nothing can be changed in it without being seen."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from brainviewer.storage import audit
from engines import KnownError


@pytest.fixture
def trail(home: Path) -> Path:
    audit.note("open", "1.2.3", series=2)
    audit.note("run", "1.2.3", engine="sagan")
    audit.note("export", "1.2.4", formats=["dicom-seg"], deidentified=True)
    audit.note("send", "1.2.3", to="ORTHANC@127.0.0.1:4242", objects=3)
    return audit.path()


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute(statement)
    db.close()


def test_entries_tell_who_did_what(trail: Path) -> None:
    first, *_, last = audit.entries()
    assert (first.number, first.what, first.details) == (1, "open", '{"series": 2}')
    assert last.who
    assert [one.what for one in audit.entries("1.2.3")] == ["open", "run", "send"]
    assert "1.2.3" not in str(audit.entries())
    assert audit.verify() == audit.Verdict(4, last.digest)
    assert trail.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE entry SET details = '{}' WHERE number = 2", "Entry 2 was changed"),
        ("UPDATE entry SET time = '2020' WHERE number = 1", "Entry 1 was changed"),
        ("DELETE FROM entry WHERE number = 2", "Entry 2 is missing"),
        ("DELETE FROM entry WHERE number = 4", "3 entries, but 4"),
        ("DELETE FROM entry", "0 entries, but 4"),
        ("INSERT INTO entry VALUES (5, '', '', 'open', '', '{}', 'ab')", "Entry 5 was changed"),
    ],
)
def test_tampering_is_seen(trail: Path, statement: str, problem: str) -> None:
    change(trail, statement)
    assert problem in audit.verify().problem


def test_removing_an_entry_and_closing_the_gap_is_seen(trail: Path) -> None:
    change(trail, "DELETE FROM entry WHERE number = 2")
    change(trail, "UPDATE entry SET number = number - 1 WHERE number > 2")
    assert "Entry 2 was changed" in audit.verify().problem


def test_a_lost_file_is_seen(trail: Path) -> None:
    trail.unlink()
    assert "but 4 entries" in audit.verify().problem
    audit.head_path().unlink()
    assert audit.verify() == audit.Verdict(0, audit.START)


def test_several_programs_may_write_at_once(home: Path) -> None:
    code = "from brainviewer.storage import audit\nfor n in range(15): audit.note('run', '1.2', n=n)"
    writers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert audit.verify().entries == 45
    assert audit.verify().problem == ""


def test_the_table_can_be_checked_elsewhere(trail: Path) -> None:
    import csv
    import io

    rows = list(csv.DictReader(io.StringIO(audit.as_csv(audit.entries()).decode())))
    previous = audit.START
    for row in rows:
        entry = audit.Entry(**{**row, "number": int(row["number"])})  # type: ignore[arg-type]
        assert entry.digest == entry.expected_digest(previous)
        previous = entry.digest


def test_a_place_that_cannot_be_written_is_told(home: Path) -> None:
    (home / "data").write_text("in the way")
    with pytest.raises(KnownError):
        audit.note("open")
