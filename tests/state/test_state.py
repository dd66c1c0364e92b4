"""The shared state: says what changed, and only when it changed."""

from __future__ import annotations

import numpy as np
import pytest

from brainviewer.state import Cursor, Display, Tool


def test_the_cursor_announces_moves_once() -> None:
    cursor, moves = Cursor(), []
    cursor.moved.connect(lambda: moves.append(cursor.position_mm))
    cursor.move_to((1, 2, 3))
    cursor.move_to((1.0, 2.0, 3.0))
    assert len(moves) == 1
    assert np.array_equal(moves[0], [1, 2, 3])


def test_the_cursors_position_cannot_be_changed_from_outside() -> None:
    cursor = Cursor()
    given = np.array([1.0, 2.0, 3.0])
    cursor.move_to(given)
    given[0] = 99
    cursor.position_mm[1] = 99
    assert np.array_equal(cursor.position_mm, [1, 2, 3])


@pytest.mark.parametrize("position", [(1, 2), (np.nan, 0, 0), (0, np.inf, 0)])
def test_the_cursor_refuses_what_is_no_position(position: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="three finite numbers"):
        Cursor().move_to(position)


def test_the_display_names_what_changed() -> None:
    display, names = Display(), []
    display.changed.connect(names.append)
    display.threshold = 95
    display.threshold = 95.0
    display.radiological = False
    display.set_window(80, 40)
    display.set_window(80, 40)
    assert names == ["threshold", "radiological", "level", "window"]


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [("opacity", 1.7, 1.0), ("opacity", -1, 0.0), ("threshold", 100, 99.99), ("threshold", 3, 50.0), ("window", -5, 0)],
)
def test_values_out_of_range_are_brought_back(name: str, given: float, kept: float) -> None:
    display = Display()
    setattr(display, name, given)
    assert getattr(display, name) == kept


def test_two_displays_are_independent() -> None:
    one, other = Display(), Display()
    one.palette = "viridis"
    assert other.palette == "inferno"


def test_the_tool_knows_two_schemes() -> None:
    tool, changes = Tool(), []
    tool.changed.connect(lambda: changes.append(tool.scheme))
    tool.scheme = "neuro"
    tool.scheme = "neuro"
    assert changes == ["neuro"]
    with pytest.raises(ValueError, match="no mouse scheme"):
        tool.scheme = "chess"  # type: ignore[assignment]
