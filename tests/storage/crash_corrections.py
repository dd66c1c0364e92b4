"""Kills a real process at random moments while it corrects a mask, and counts what is lost:

    python -m tests.storage.crash_corrections --moments 200

Each process goes on where the one before was killed, writes strokes, undo, versions and the library, and is ended with
SIGKILL. After each the corrections are read back and compared, bit for bit, with the same steps taken in memory.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from brainviewer.storage import corrections, database
from brainviewer.storage.correction_journal import Journal
from brainviewer.storage.correction_records import Event, Kind
from brainviewer.storage.corrections import JOURNAL, About
from brainviewer.storage.library import Library
from brainviewer.study import Series, Study
from brainviewer.study.brush import Stroke
from brainviewer.study.correction import Correction

SHAPE = (160, 160, 40)
EYE = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
VERSION_EVERY = 25
LONGEST_S = 0.1
AT_WORK = 0.85


def automatic() -> np.ndarray:
    grid = np.indices(SHAPE) - np.array([80, 70, 20])[:, None, None, None]
    return ((grid**2).sum(0) < 300).astype(np.uint8)


def step(correction: Correction, number: int) -> Event | None:
    """Take the step of that number, always the same one; returns what the journal has to hold."""
    chance = np.random.default_rng(number)
    kind = chance.random()
    if kind < 0.1 and correction.undo() is not None:
        return Event(Kind.UNDO)
    if kind < 0.15 and correction.redo() is not None:
        return Event(Kind.REDO)
    if kind < 0.25:
        edit = correction.reject(int(chance.integers(SHAPE[2])))
        if edit is not None:
            correction.apply(edit)
        return Event(Kind.EDIT, edit) if edit is not None else None
    axis = 2 if kind < 0.7 else None
    stroke = Stroke(correction, np.eye(4), int(chance.random() < 0.6), float(chance.uniform(2, 25)), axis)
    for _ in range(int(chance.integers(1, 6))):
        stroke.to(chance.uniform(0, SHAPE))
    edit = stroke.finish()
    return Event(Kind.EDIT, edit) if edit is not None else None


def work(at: Path, told: int, number: int, shelf: Path) -> None:
    """The process that is killed: goes on correcting until then."""
    loaded = corrections.load(at)
    journal, correction = Journal(at / JOURNAL, loaded.place), loaded.correction
    library = Library(database.connect(shelf))
    while True:
        event = step(correction, number)
        if event is not None:
            journal.add(event)
        os.write(told, b".")
        number += 1
        if number % VERSION_EVERY == 0:
            corrections.keep_version(at, correction.mask, correction.states, journal.place)
        if number % 7 == 0:
            journal.flush()
            series = Series("1.2.3", "FLAIR", "FLAIR", "MR", "nifti", (at,), SHAPE, EYE)
            library.remember(Study("1.2", f"Head {number}", "", at, (series,)))


def crash(home: Path, moments: int, seed: int) -> dict[str, int]:
    """Kill at so many moments; returns counts. lost: steps that were done and are gone."""
    os.environ["BRAINVIEWER_HOME"] = str(home)
    about = About("1.2.3", "1.2", "Reader", SHAPE, EYE, 2)
    corrections.create(about, automatic())
    at, shelf = corrections.folder(about), home / "library.sqlite"
    chance = random.Random(seed)
    known, number = Correction(automatic(), 2), 0
    counts = {"moments": 0, "steps": 0, "lost": 0, "most lost at once": 0, "wrong": 0, "library damaged": 0}
    for _ in range(moments):
        mine, theirs = os.pipe()
        child = os.fork()
        if not child:
            os.close(mine)
            try:
                work(at, theirs, number, shelf)
            finally:
                os._exit(9)
        os.close(theirs)
        # Mostly in the middle of its work, now and then while it opens the files.
        told = 0
        if chance.random() < AT_WORK:
            told = len(os.read(mine, 1))
        time.sleep(chance.uniform(0, LONGEST_S))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while part := os.read(mine, 1 << 16):
            told += len(part)
        os.close(mine)
        known, number = _compare(at, known, number, told, counts)
        library = Library(database.connect(shelf))
        counts["library damaged"] += library._db.execute("PRAGMA integrity_check").fetchone()[0] != "ok"
        library.close()
        counts["moments"] += 1
    return counts


def _compare(at: Path, known: Correction, number: int, told: int, counts: dict[str, int]) -> tuple[Correction, int]:
    """See what of the steps the process told of is on the disk; returns where the next process begins."""
    found = corrections.load(at).correction
    taken = None
    # One step more may have been written than the process could still tell of.
    for count in range(told + 2):
        if picture(found) == picture(known):
            taken = count
        step(known, number + count)
    if taken is None:
        counts["wrong"] += 1
        taken = told
    counts["steps"] += told
    counts["lost"] += max(told - taken, 0)
    counts["most lost at once"] = max(counts["most lost at once"], told - taken)
    return found, number + taken


def picture(correction: Correction) -> tuple[bytes, bytes, int, int]:
    """All that a reader could notice."""
    steps = len(correction.edits), len(correction.undone)
    return correction.mask.tobytes(), correction.states.tobytes(), *steps


def main() -> int:
    """Print the counts; exit status 1 where more than a step was lost or anything is damaged."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        counts = crash(Path(home), options.moments, options.seed)
    print(", ".join(f"{name} {count}" for name, count in counts.items()))
    return int(counts["most lost at once"] > 1 or counts["wrong"] > 0 or counts["library damaged"] > 0)


if __name__ == "__main__":
    sys.exit(main())
