"""The commands and their arguments."""

from __future__ import annotations

import argparse
import os
import sys

from installer import bundle as bundling
from installer import run as running
from installer import test as testing
from installer.trouble import Trouble

DESCRIPTION = "Set BrainViewer up in .venv and start it. The first run installs; later runs start in seconds."


def parser() -> argparse.ArgumentParser:
    """The command line; whatever it does not know is handed on to the viewer or to pytest."""
    whole = argparse.ArgumentParser(prog="python3 -m installer", description=DESCRIPTION)
    commands = whole.add_subparsers(dest="command", required=True, metavar="run|test|bundle")
    for name, text in (
        ("run", "open the demo; without a display, write its pictures to the folder brainviewer-demo"),
        ("test", "run the whole test suite; further arguments go to pytest"),
        ("bundle", "build the program for machines without Python into dist, with a Debian package where it can"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "--torch-index",
            metavar="URL",
            default=os.environ.get("BRAINVIEWER_TORCH_INDEX", ""),
            help="package index to take torch from (also: environment variable BRAINVIEWER_TORCH_INDEX)",
        )
    return whole


def run(arguments: list[str]) -> int:
    """Carry out a command line; returns the exit status."""
    known, rest = parser().parse_known_args(arguments)
    start = {"run": running.start, "test": testing.start, "bundle": bundling.start}[known.command]
    try:
        return start(rest, known.torch_index)
    except Trouble as trouble:
        print(f"\n{trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
