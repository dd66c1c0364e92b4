"""What goes wrong during set-up, and how the installer speaks."""

from __future__ import annotations


class Trouble(Exception):  # noqa: N818 - reads as what it is
    """Something the user can act on; the text is one or two plain sentences with the remedy."""


def say(text: str) -> None:
    """One line of progress, shown at once even when the output is a file."""
    print(text, flush=True)
