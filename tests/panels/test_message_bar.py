"""Messages: one at a time, errors do not get lost, nothing blocks."""

from __future__ import annotations

import pytest

from brainviewer.jobs.job import Bug
from brainviewer.panels import message_bar
from brainviewer.panels.message_bar import MessageBar
from brainviewer.panels.theme import DARK, LIGHT, Colours, Theme
from brainviewer.state.messages import Messages
from engines import BadInput


@pytest.fixture
def messages(qapp):
    return Messages()


@pytest.fixture
def bar(qtbot, messages):
    bar = MessageBar(messages, Theme("dark"))
    qtbot.addWidget(bar)
    return bar


def test_errors_wait_for_each_other_and_the_same_one_is_told_once(bar, messages):
    for text in ("First.", "Second.", "First.", "Second."):
        messages.error(BadInput(text, "Do this."))
    assert bar.shown.text == "First."
    assert bar._more.text() == "1 more"
    bar.dismiss()
    assert bar.shown.text == "Second."
    bar.dismiss()
    assert bar.shown is None
    assert not bar.isVisible()


def test_notes_leave_by_themselves_and_make_way_for_errors(qtbot, bar, messages, monkeypatch):
    bar._timer.setInterval(50)
    messages.note("Saved.")
    assert bar.shown.text == "Saved."
    messages.error(BadInput("Broken."))
    assert bar.shown.text == "Broken."
    qtbot.wait(120)
    assert bar.shown.text == "Broken."
    bar.dismiss()
    messages.note("Saved again.")
    qtbot.waitUntil(lambda: bar.shown is None, timeout=2000)
    assert message_bar.NOTE_MS >= 3000


def test_details_of_a_bug_can_be_copied_but_are_not_shown(qapp, bar, messages):
    messages.error(Bug("SAGAN failed: KeyError", "Traceback: line 3"))
    assert "Traceback" not in bar._text.text() + bar._remedy.text()
    bar._copy.click()
    assert "Traceback: line 3" in qapp.clipboard().text()


def _contrast(one: str, other: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [DARK, LIGHT])
def test_text_can_be_read_on_every_ground(colours: Colours):
    for ground in (colours.window, colours.panel, colours.raised):
        for ink in (colours.text, colours.muted, colours.warning, colours.error):
            assert _contrast(ink, ground) >= 4.5, (ink, ground)
    assert _contrast(colours.on_accent, colours.accent) >= 4.5
