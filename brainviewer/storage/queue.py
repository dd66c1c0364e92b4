"""Runs that wait for their turn; kept in the library's file, so that they go on after a restart."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

State = Literal["waiting", "working", "done", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run. study, series: UIDs in the library. path: of the study. model: folder. title: of the run."""

    study: str
    study_title: str
    path: Path
    series: str
    engine: str
    model: Path
    title: str
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Entry:
    """An order in the queue, in the order it was given. message: why it failed."""

    id: int
    order: Order
    state: State
    message: str


class Queue:
    """The table of orders. Every method is quick; changes are whole or not made, KnownError where they cannot be."""

    def __init__(
        self, connection: sqlite3.Connection, change: Callable[[], AbstractContextManager[sqlite3.Connection]]
    ) -> None:
        self._db, self._change = connection, change

    def add(self, orders: Sequence[Order]) -> None:
        """Put orders at the end; one that waits already is not put in twice."""
        waiting = {entry.order for entry in self.entries() if entry.state in ("waiting", "working")}
        with self._change() as db:
            db.executemany(
                "INSERT INTO queue (study, study_title, path, series, engine, model, title, device, state, message, "
                "owner) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'waiting', '', 0)",
                [
                    (one.study, one.study_title, str(one.path), one.series, one.engine, str(one.model), one.title,
                     one.device)
                    for one in dict.fromkeys(orders) if one not in waiting
                ],
            )  # fmt: skip

    def entries(self) -> tuple[Entry, ...]:
        """The whole queue, first order first."""
        return tuple(_entry(row) for row in self._db.execute("SELECT * FROM queue ORDER BY id"))

    def claim(self) -> Entry | None:
        """The first order that waits; from now on it is in work, here and in no other window."""
        with self._change() as db:
            row = db.execute("SELECT * FROM queue WHERE state = 'waiting' ORDER BY id LIMIT 1").fetchone()
            if row is None:
                return None
            db.execute("UPDATE queue SET state = 'working', owner = ? WHERE id = ?", (os.getpid(), row["id"]))
        return _entry(row)

    def set_state(self, entry_id: int, state: State, message: str = "") -> None:
        """Note how far an order is."""
        with self._change() as db:
            db.execute("UPDATE queue SET state = ?, message = ? WHERE id = ?", (state, message, entry_id))

    def take_up(self) -> int:
        """What was in work when its program ended waits again; returns how many orders wait."""
        with self._change() as db:
            owners = [row["owner"] for row in db.execute("SELECT DISTINCT owner FROM queue WHERE state = 'working'")]
            gone = [(owner,) for owner in owners if owner == os.getpid() or not psutil.pid_exists(owner)]
            db.executemany("UPDATE queue SET state = 'waiting' WHERE state = 'working' AND owner = ?", gone)
        return int(self._db.execute("SELECT count(*) FROM queue WHERE state = 'waiting'").fetchone()[0])

    def remove(self, states: Sequence[State]) -> None:
        """Take orders in these states off the list."""
        with self._change() as db:
            db.executemany("DELETE FROM queue WHERE state = ?", [(state,) for state in states])


def _entry(row: sqlite3.Row) -> Entry:
    facts = {name: row[name] for name in ("study", "study_title", "series", "engine", "title", "device")}
    order = Order(**facts, path=Path(row["path"]), model=Path(row["model"]))
    return Entry(row["id"], order, row["state"], row["message"])
