"""The viewer as a user starts it: from the command line, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from brainviewer.storage import settings
from brainviewer.storage.library import Library
from tests.panels.conftest import write_head

pytestmark = pytest.mark.display


def wait_until_remembered():
    """Until the viewer in the other process has opened its study."""
    shelf = Library()
    deadline = time.monotonic() + 60
    while not shelf.studies() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert shelf.studies()
    shelf.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_the_window_properly_and_ends_the_workers(tmp_path, number):
    head = write_head(tmp_path / "head_flair.nii.gz")
    process = subprocess.Popen([sys.executable, "-m", "brainviewer", str(head)], stderr=subprocess.PIPE)
    wait_until_remembered()
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors.decode()
    assert settings.path().exists()
    assert psutil.wait_procs(workers, timeout=5)[1] == []


EARLY = """
import os, signal
from brainviewer import app
shown = app.Viewer.show
def show(viewer):
    shown(viewer)
    os.kill(os.getpid(), signal.SIGTERM)  # before the event loop runs
app.Viewer.show = show
raise SystemExit(app.main([]))
"""


def test_a_signal_before_the_event_loop_runs_ends_the_viewer_too():
    done = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_killed_viewer_takes_its_workers_along(tmp_path):
    head = write_head(tmp_path / "head_flair.nii.gz")
    process = subprocess.Popen([sys.executable, "-m", "brainviewer", str(head)])
    wait_until_remembered()
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)
    assert psutil.wait_procs(workers, timeout=10)[1] == []


def test_a_path_that_does_not_exist_is_one_line_and_status_1(tmp_path):
    command = [sys.executable, "-m", "brainviewer", str(tmp_path / "nothing.nii")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ, check=False)
    assert done.returncode == 1
    assert "nothing.nii" in done.stderr
    assert "Traceback" not in done.stderr
