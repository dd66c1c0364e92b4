"""Every command has a text, a tip and keys of its own."""

from __future__ import annotations

from collections import Counter

import pytest
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QWidget

from brainviewer.actions.action import Action, Commands, Menu
from brainviewer.app import Viewer, make_application
from brainviewer.panels.command_palette import CommandPalette, matching
from brainviewer.panels.key_sheet import KeySheet
from brainviewer.panels.parts import label


@pytest.fixture(scope="session")
def qapp():
    return make_application()


@pytest.fixture
def viewer(qtbot):
    viewer = Viewer()
    qtbot.addWidget(viewer.window)
    yield viewer
    viewer.window.close()


def test_every_action_has_text_tip_and_an_id_of_its_own(viewer):
    actions = viewer.commands.actions
    assert len(actions) > 30
    assert max(Counter(action.id for action in actions).values()) == 1
    for action in actions:
        assert action.text
        assert len(action.tip) > 10
        assert viewer.commands.qaction(action.id).toolTip() == action.tip


def test_no_two_actions_share_a_key(viewer):
    keys = Counter(QKeySequence(key).toString() for action in viewer.commands.actions for key in action.shortcuts)
    assert [key for key, count in keys.items() if count > 1] == []
    assert "" not in keys


def test_keys_that_lists_and_fields_need_belong_to_the_images(viewer):
    for action in viewer.commands.actions:
        if set(action.shortcuts) & {"Up", "Down", "Left", "Right", "Home", "End", "PgUp", "PgDown", "Space"}:
            assert action.scope == "images"


def test_keys_of_the_radiology_scheme_are_there(viewer):
    keys = {key for action in viewer.commands.actions for key in action.shortcuts}
    assert {"R", "Space", "I", "H", "T", "Shift+T", "M", "N", "Esc", "F11", "F1", "?", "Ctrl+K", "1", "9"} <= keys


def test_commands_without_a_study_are_disabled(viewer):
    viewer.commands.refresh()
    for name in ("view.reset", "analyse.run", "analyse.next_high", "file.close", "file.picture"):
        assert not viewer.commands.qaction(name).isEnabled()
    assert viewer.commands.qaction("file.open").isEnabled()


def test_switches_follow_the_state(viewer):
    assert not viewer.commands.qaction("view.invert").isChecked()
    viewer.commands.run("view.invert")
    assert viewer.display.invert
    assert viewer.commands.qaction("view.invert").isChecked()
    assert viewer.layers._flags["invert"].isChecked()


def test_threshold_moves_evenly_in_the_tail(viewer):
    assert viewer.display.threshold == 99.0
    viewer.commands.run("view.threshold_up")
    assert viewer.display.threshold == pytest.approx(99.21, abs=0.02)
    viewer.commands.run("view.threshold_down")
    assert viewer.display.threshold == pytest.approx(99.0, abs=0.01)
    for _ in range(80):
        viewer.commands.run("view.threshold_up")
    assert viewer.display.threshold == 99.99


def test_the_palette_finds_commands_by_any_word(viewer):
    assert matching(viewer.commands.actions, "heatmap")[0].id == "view.heatmap_visible"
    assert [action.id for action in matching(viewer.commands.actions, "invert black")] == ["view.invert"]
    assert matching(viewer.commands.actions, "zzz") == []


def test_enter_in_the_palette_gives_the_command(viewer, qtbot):
    palette = CommandPalette(viewer.commands, viewer.window)
    qtbot.addWidget(palette)
    palette.typed.setText("invert")
    palette.typed.returnPressed.emit()
    assert viewer.display.invert


def test_the_key_sheet_lists_every_key(viewer, qtbot):
    sheet = KeySheet(viewer.commands, "radiology", viewer.window)
    qtbot.addWidget(sheet)
    text = " ".join(child.text() for child in sheet.findChildren(type(label(""))))
    for key in ("Ctrl+O", "R, Space", "1 ... 9", "F11", "Ctrl+K", "Left drag"):
        assert key in text


def test_a_disabled_command_is_not_carried_out(qtbot):
    window, done = QWidget(), []
    qtbot.addWidget(window)
    menu = Menu("M", (Action("m.a", "A", "A tip", lambda: done.append(1), enabled=lambda: False),))
    Commands([menu], window, window).run("m.a")
    assert done == []
