"""The two commands as a user types them."""

import subprocess
import sys
from pathlib import Path

from installer.command_line import parser

REPOSITORY = Path(__file__).resolve().parents[2]


def _installer(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "installer", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_without_a_command_the_usage_is_shown() -> None:
    done = _installer()
    assert done.returncode == 2
    assert "run|test" in done.stderr


def test_help_names_both_commands() -> None:
    done = _installer("--help")
    assert done.returncode == 0
    assert "run" in done.stdout
    assert "test" in done.stdout


def test_unknown_arguments_are_handed_on() -> None:
    known, rest = parser().parse_known_args(["test", "--torch-index", "file:///x", "tests/installer", "-k", "stamp"])
    assert known.torch_index == "file:///x"
    assert rest == ["tests/installer", "-k", "stamp"]
