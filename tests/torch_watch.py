"""Whether a test brought torch into the window's process, where it never may come."""

from __future__ import annotations

import sys

# When tests of the engines run in the same process torch is there already, and nothing can be told; the test command
# therefore runs the window's rooms in a process of their own (installer/test.py).
_there_before = False


def remember() -> None:
    """Called before each test."""
    global _there_before
    _there_before = "torch" in sys.modules


def torch_arrived() -> bool:
    """True when torch came in since the test began."""
    return "torch" in sys.modules and not _there_before
