"""`test`: set up with the test tools, then style, types and tests on a display of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from installer.environment import REPOSITORY, prepare, python
from installer.system import need_libraries, need_test_programs, need_xvfb
from installer.trouble import Trouble, say

SCREEN = "1920x1200x24"

# The window's rooms in a process of their own: there, and only there, a test can tell that torch stays out.
WINDOW_ROOMS = ("actions", "jobs", "panels", "plots", "reading", "render", "state", "storage")
WHOLE_SUITE = (
    [f"tests/{room}" for room in WINDOW_ROOMS],
    ["tests", *(f"--ignore=tests/{room}" for room in WINDOW_ROOMS)],
)


@contextmanager
def virtual_display() -> Iterator[str]:
    """An Xvfb of our own on a free display number; yields the value of DISPLAY."""
    read_end, write_end = os.pipe()
    command = ["Xvfb", "-displayfd", str(write_end), "-screen", "0", SCREEN, "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(command, pass_fds=[write_end], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write_end)
    try:
        with os.fdopen(read_end) as number:
            # The server writes its number once it serves; an empty line means that it died.
            display = number.readline().strip()
        if not display:
            raise Trouble("The virtual display (Xvfb) did not start. Try: Xvfb -displayfd 1")
        yield f":{display}"
    finally:
        server.terminate()
        server.wait()


@contextmanager
def environment() -> Iterator[dict[str, str]]:
    """The environment of the tests: on Linux with a virtual display, so that no window disturbs anyone."""
    variables = dict(os.environ)
    if not sys.platform.startswith("linux"):
        yield variables
        return
    variables.pop("WAYLAND_DISPLAY", None)
    with virtual_display() as display:
        yield {**variables, "DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "XDG_SESSION_TYPE": "x11"}


def start(rest: list[str], torch_index: str) -> int:
    """Carry out `test`; returns non-zero when any part failed. pytest comes last, so its closing line is the last."""
    need_libraries()
    need_xvfb()
    need_test_programs()
    prepare(["demo", "test"], torch_index)
    failed = False
    for title, arguments in (("Style", ["ruff", "check", "."]), ("Types", ["mypy"])):
        say(f"{title}: {' '.join(arguments)}")
        failed |= subprocess.call([python(), "-m", *arguments], cwd=REPOSITORY) != 0
    if failed:
        say("Style or types failed (see above); the tests run all the same, and the exit status will be 1.")
    with environment() as variables:
        for arguments in [rest] if rest else WHOLE_SUITE:
            say(f"Tests: pytest {' '.join(arguments)}")
            failed |= subprocess.call([python(), "-m", "pytest", *arguments], cwd=REPOSITORY, env=variables) != 0
    return int(failed)
