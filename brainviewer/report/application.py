"""Qt needs an application object to write text; a screen it does not need."""

from __future__ import annotations

import os
import sys

from PySide6.QtGui import QGuiApplication


def ensure() -> None:
    """Make the application object where there is none yet."""
    if QGuiApplication.instance() is None:
        if sys.platform == "linux" and not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
            os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        # Kept alive by the module: Qt allows one application a process.
        globals()["_application"] = QGuiApplication(["brainviewer"])
