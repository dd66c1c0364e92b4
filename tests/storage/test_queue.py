"""The queue in the library's file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from brainviewer.storage.library import Library
from brainviewer.storage.queue import Order
from tests.storage.test_library import a_study


@pytest.fixture
def library():
    opened = Library()
    opened.remember(a_study("a"))
    opened.remember(a_study("b"))
    yield opened
    opened.close()


def order(uid, engine="sagan"):
    return Order(uid, f"Study {uid}", Path("/scans") / uid, f"{uid}.1", engine, Path("/models/m"), "SAGAN 1")


def test_orders_keep_their_place_and_are_claimed_once(library):
    library.queue.add([order("b"), order("a"), order("b")])
    assert [entry.order.study for entry in library.queue.entries()] == ["b", "a"]
    assert library.queue.claim().order.study == "b"
    other = Library()
    assert other.queue.claim().order.study == "a"
    assert other.queue.claim() is None
    other.close()


def test_what_waits_is_not_put_in_twice(library):
    library.queue.add([order("a")])
    library.queue.add([order("a"), order("a", "patchcore")])
    assert [entry.order.engine for entry in library.queue.entries()] == ["sagan", "patchcore"]


def test_after_a_crash_the_order_in_work_waits_again_at_its_old_place(library):
    library.queue.add([order("a"), order("b")])
    script = (
        "import os; from brainviewer.storage.library import Library; library = Library(); "
        "assert library.queue.claim().order.study == 'a'; os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False)
    assert ended.returncode == -9
    assert [entry.state for entry in library.queue.entries()] == ["working", "waiting"]
    assert library.queue.take_up() == 2
    assert library.queue.claim().order.study == "a"


def test_what_another_living_window_works_on_is_left_to_it(library):
    library.queue.add([order("a")])
    script = (
        "import sys; from brainviewer.storage.library import Library; library = Library(); library.queue.claim(); "
        "print('claimed', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"claimed\n"
        assert library.queue.take_up() == 0
        other.stdin.close()
    assert library.queue.take_up() == 1


def test_the_queue_of_a_forgotten_study_goes_with_it(library):
    library.queue.add([order("a"), order("b")])
    library.forget("a")
    assert [entry.order.study for entry in library.queue.entries()] == ["b"]


def test_what_is_over_can_be_taken_off(library):
    library.queue.add([order("a"), order("b")])
    entry = library.queue.claim()
    library.queue.set_state(entry.id, "failed", "no memory")
    assert library.queue.entries()[0].message == "no memory"
    library.queue.remove(("failed", "done"))
    assert [one.order.study for one in library.queue.entries()] == ["b"]
