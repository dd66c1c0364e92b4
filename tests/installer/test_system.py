"""System libraries, display and the virtual display."""

import os
import shutil
import subprocess
import sys

import pytest

from installer import system
from installer.run import demo_arguments
from installer.test import virtual_display
from installer.trouble import Trouble

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")


def test_nothing_is_missing_when_everything_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "has_fonts", lambda: True)
    assert system.missing_packages(lambda library: True) == []


def test_a_missing_library_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "has_fonts", lambda: True)
    assert system.missing_packages(lambda library: library != "libEGL.so.1") == ["libegl1"]


@linux_only
def test_a_library_that_does_not_exist_does_not_load() -> None:
    assert system.loads("libc.so.6")
    assert not system.loads("libdoesnotexist.so.1")


def test_without_rights_the_exact_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "can_install", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(Trouble, match=r"sudo apt-get update && sudo apt-get install -y .* libegl1 libgl1"):
        system.need(["libegl1", "libgl1"], "system libraries")


def test_on_other_distributions_the_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "can_install", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Trouble, match="libEGL.so.1"):
        system.need(["libegl1"], "system libraries")


@linux_only
def test_missing_programs_of_the_export_tests_are_named_where_they_cannot_be_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(system, "can_install", lambda: False)
    monkeypatch.setattr(system, "TEST_PROGRAMS", {"no-such-program": "dicom3tools"})
    system.need_test_programs()
    assert "dicom3tools" in capsys.readouterr().out
    monkeypatch.setattr(system, "TEST_PROGRAMS", {"sh": "dash"})
    system.need_test_programs()
    assert capsys.readouterr().out == ""


@linux_only
@pytest.mark.parametrize(
    ("variables", "display"), [({}, False), ({"DISPLAY": ":0"}, True), ({"WAYLAND_DISPLAY": "wayland-0"}, True)]
)
def test_display(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], display: bool) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert system.has_display() is display


def test_the_demo_is_drawn_to_files_where_there_is_no_display() -> None:
    assert demo_arguments([], display=True) == ["demo"]
    assert demo_arguments([], display=False) == ["demo", "--offscreen", "brainviewer-demo"]
    assert demo_arguments(["doctor"], display=False) == ["doctor"]


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb")
def test_virtual_display_takes_connections_and_goes_away() -> None:
    with virtual_display() as display:
        socket = f"/tmp/.X11-unix/X{display[1:]}"
        assert os.path.exists(socket)  # noqa: PTH110
        code = "from PySide6.QtGui import QGuiApplication as A; print(A([]).primaryScreen().size().toTuple())"
        environment = {**os.environ, "DISPLAY": display, "QT_QPA_PLATFORM": "xcb"}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(1920, 1200)"
    assert not os.path.exists(socket)  # noqa: PTH110
