"""Crash reports for the developers: where it went wrong, never on whose scan.

Messages of exceptions may hold paths and names of patients, so a report holds types, files of the program and lines.
"""

from __future__ import annotations

import platform
import re
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import brainviewer
from brainviewer.storage import folders
from brainviewer.storage.files import write_whole

MOST_REPORTS = 50
# Lines of a printed traceback that tell a place in the code; the source line after it is our own text.
_PLACE = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)(, in | in )(?P<name>\S+)')
_TYPE = re.compile(r"^(?P<type>[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Panic\w*|Died))\b")


def write(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> Path:
    """Store a report about an exception of this process; returns its file."""
    text = "".join(traceback.format_exception(kind, error, trace))
    return write_text(text, kind.__name__)


def write_text(text: str, title: str) -> Path:
    """Store a report about a printed traceback, or the stack of a crashed worker."""
    folder = folders.log_dir()
    now = datetime.now(UTC)
    path = folder / f"crash-{now:%Y%m%d-%H%M%S-%f}.txt"
    head = [
        f"BrainViewer {brainviewer.__version__}, Python {sys.version.split()[0]}, {platform.platform()}",
        f"{now:%Y-%m-%d %H:%M:%S} UTC",
        _TYPE.sub(r"\g<type>", title)[:80],
    ]
    write_whole(path, "\n".join([*head, *places(text)]).encode() + b"\n")
    for old in sorted(folder.glob("crash-*.txt"))[:-MOST_REPORTS]:
        old.unlink(missing_ok=True)
    return path


def places(text: str) -> list[str]:
    """The code places and exception types of a printed traceback; everything else is left out."""
    found = []
    for line in text.splitlines():
        if place := _PLACE.match(line):
            # Only the end of the path: the beginning may name a user.
            file = "/".join(Path(place["file"]).parts[-2:])
            found.append(f"  {file}, line {place['line']}, in {place['name']}")
        elif kind := _TYPE.match(line):
            found.append(kind["type"])
        elif line.startswith("Fatal Python error: "):
            found.append(line[:60])
    return found
