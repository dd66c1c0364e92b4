"""`run`: set up, then open the demo."""

from __future__ import annotations

import subprocess

from installer.environment import REPOSITORY, prepare, python
from installer.system import has_display, need_libraries
from installer.trouble import say

PICTURES = "brainviewer-demo"


def demo_arguments(rest: list[str], display: bool) -> list[str]:
    """The viewer's arguments: the demo in a window, or drawn to files where there is no display."""
    if rest:
        return rest
    return ["demo"] if display else ["demo", "--offscreen", PICTURES]


def start(rest: list[str], torch_index: str) -> int:
    """Carry out `run`; further arguments replace the demo (`run PATH` opens a study)."""
    need_libraries()
    prepare(["demo"], torch_index)
    display = has_display()
    if not display and not rest:
        say(f"There is no display, so the demo is drawn to files in {REPOSITORY / PICTURES}")
    return subprocess.call([python(), "-m", "brainviewer", *demo_arguments(rest, display)], cwd=REPOSITORY)
