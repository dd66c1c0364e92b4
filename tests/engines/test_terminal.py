"""Progress in a terminal, in a log, and none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engines import terminal

REPOSITORY = Path(__file__).resolve().parents[2]
CODE = """
from engines.terminal import progress
with progress() as report:
    for done in range(5):
        report(done, 4, f"part [{done}]")
    report(0, 3, "next stage")
print("facts")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo terminals")
def test_a_terminal_sees_a_bar_on_standard_error_only() -> None:
    import pty

    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", CODE], stdout=subprocess.PIPE, stderr=theirs, cwd=REPOSITORY, check=True
    )
    os.close(theirs)
    shown = os.read(ours, 1 << 20).decode()
    os.close(ours)
    assert done.stdout == b"facts\n"
    assert "next stage" in shown


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(terminal, "LINE_EVERY_S", 0.0)
    with terminal.progress() as report:
        report(1, 4, "training")
    assert capsys.readouterr().err == "1/4 training\n"
    monkeypatch.setattr(terminal, "LINE_EVERY_S", 60.0)
    with terminal.progress() as report:
        report(1, 4, "training")
    with terminal.progress(shown=False) as report:
        report(1, 4, "training")
    assert capsys.readouterr().err == ""
