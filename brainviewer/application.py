"""The Qt application itself: names and style, and ending it from the terminal."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence

from PySide6.QtCore import QSocketNotifier, QTimer
from PySide6.QtWidgets import QApplication

from brainviewer.panels.main_window import TITLE


def make_application(arguments: Sequence[str] = ()) -> QApplication:
    """The Qt application: names, style, platform."""
    running = QApplication.instance()
    if isinstance(running, QApplication):
        return running
    if sys.platform.startswith("linux") and os.environ.get("WAYLAND_DISPLAY") and os.environ.get("DISPLAY"):
        # VTK draws through X; XWayland has it.
        os.environ.setdefault("QT_QPA_PLATFORM", "xcb;wayland")
    app = QApplication([TITLE, *arguments])
    app.setApplicationName("brainviewer")
    app.setApplicationDisplayName("")
    app.setDesktopFileName("brainviewer")
    app.setStyle("Fusion")
    return app


def close_on_signals(app: QApplication, close: Callable[[], object]) -> None:
    """Ctrl+C in the terminal and `kill` close the window as its button does: settings stored, workers ended."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    # While Qt waits for events Python does not run; the signal's byte in this socket wakes it up.
    signal.set_wakeup_fd(writer.fileno())
    notifier = QSocketNotifier(reader.fileno(), QSocketNotifier.Type.Read, app)
    notifier.activated.connect(lambda: reader.recv(64))

    def stop() -> None:
        signal.set_wakeup_fd(-1)
        reader.close()
        writer.close()

    app.aboutToQuit.connect(stop)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not at once: before the event loop runs, closing the last window would end nothing.
        signal.signal(number, lambda *_: QTimer.singleShot(0, app, close))
