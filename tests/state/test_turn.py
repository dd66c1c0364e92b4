"""Turns of the event loop, one piece of work in each."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer
from shiboken6 import delete

from brainviewer.state.turn import Turn


def waiting(parent, names, done):
    turns = []
    for name in names:
        turn = Turn(parent)
        turn.due.connect(lambda name=name: done.append(name))
        turn.start()
        turns.append(turn)
    return turns


def test_only_one_goes_in_each_turn_and_in_order(qtbot, qapp):
    parent, done, seen = QObject(), [], []
    ticking = QTimer(interval=0)
    ticking.timeout.connect(lambda: seen.append(len(done)))
    ticking.start()
    turns = waiting(parent, "abcd", done)
    qtbot.waitUntil(lambda: not any(turn.waits for turn in turns))
    ticking.stop()
    assert done == list("abcd")
    # Another timer of no time has its turn between any two of them.
    assert {1, 2, 3} <= set(seen)


def test_who_waits_already_waits_once_and_who_asks_again_goes_to_the_end(qtbot, qapp):
    parent, done = QObject(), []
    first, second = waiting(parent, "ab", done)
    first.start()
    again = iter([first.start])
    first.due.connect(lambda: next(again, int)())
    qtbot.waitUntil(lambda: not first.waits and not second.waits)
    assert done == ["a", "b", "a"]


def test_who_stops_or_is_gone_has_no_turn(qtbot, qapp):
    parent, lost, done = QObject(), QObject(), []
    stopped, last = waiting(parent, "ab", done)
    waiting(lost, "x", done)
    stopped.stop()
    delete(lost)
    final = waiting(parent, "c", done)[0]
    qtbot.waitUntil(lambda: not final.waits)
    assert done == ["b", "c"]
    assert not last.waits
