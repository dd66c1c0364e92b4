"""A warm child process for one kind of work: starts it, feeds it, stops it, replaces it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections import deque
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from brainviewer.jobs import shared_array, worker
from brainviewer.jobs.job import Bug, Job, WorkerDied

# A cancelled job may take this long to notice; then its child is killed. With spawn and wake-up it stays below 1 s.
CANCEL_GRACE_S = 0.7
SHUTDOWN_S = 1.0
NO_LIMIT = float("inf")


class WorkerHost(QObject):
    """Runs jobs one at a time in a child process, in the order they were submitted.

    A thread of its own talks to the child, so neither starting it nor copying a large volume holds up the window.

    Signals:
        changed: a job was added, began or ended (for the status bar).
    """

    changed = Signal()

    def __init__(
        self, name: str, parent: QObject | None = None, *, nice: int = 0, memory_bytes: int | None = None
    ) -> None:
        super().__init__(parent)
        self.name = name
        handle, path = tempfile.mkstemp(prefix="brainviewer-crash-")
        os.close(handle)
        self._crash_file = Path(path)
        self._options = worker.WorkerOptions(nice, memory_bytes, self._crash_file)
        self._jobs: dict[int, Job] = {}
        self._waiting: deque[tuple[Job, tuple[str, tuple[Any, ...], dict[str, Any]]]] = deque()
        self._cancelled: set[int] = set()
        self._lock = threading.Lock()
        self._closing = False
        self._process: SpawnProcess | None = None
        self._connection: Connection[Any, Any] | None = None
        self._bell, self._ring = multiprocessing.Pipe(duplex=False)
        self._lane = threading.Thread(target=self._work, name=f"{name} lane", daemon=True)
        self._lane.start()

    @property
    def pid(self) -> int | None:
        """The child's process number, None while there is none."""
        process = self._process
        return process.pid if process is not None and process.is_alive() else None

    @property
    def jobs(self) -> list[Job]:
        """Jobs that wait or run, oldest first."""
        return list(self._jobs.values())

    def submit(self, title: str, function: str, *args: Any, stall_s: float | None = None, **kwargs: Any) -> Job:
        """Ask for function(*args, **kwargs), where function is "package.module:name", in the child.

        The function gets the keyword `report` (and `allocate`) where it has such a parameter. stall_s: seconds
        without a sign of life after which the child is killed and the job fails.
        """
        job = Job(title, stall_s)
        job.on_cancel(self._cancel)
        job.ended.connect(lambda: self._forget(job.id))
        job.started.connect(self.changed)
        self._jobs[job.id] = job
        with self._lock:
            self._waiting.append((job, (function, args, kwargs)))
        self._wake()
        self.changed.emit()
        return job

    def shutdown(self) -> None:
        """Stop everything at once; jobs that still ran end as cancelled."""
        if self._closing:
            return
        self._closing = True
        self._wake()
        self._lane.join(SHUTDOWN_S + 1)
        for job in self.jobs:
            job.post("cancelled")
        self._crash_file.unlink(missing_ok=True)

    def _forget(self, job_id: int) -> None:
        self._jobs.pop(job_id, None)
        self.changed.emit()

    def _cancel(self, job: Job) -> None:
        with self._lock:
            for entry in self._waiting:
                if entry[0] is job:
                    self._waiting.remove(entry)
                    job.post("cancelled")
                    return
            self._cancelled.add(job.id)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._ring.send_bytes(b"!")

    # Everything below runs on the lane's thread.

    def _work(self) -> None:
        while not self._closing:
            with self._lock:
                entry = self._waiting.popleft() if self._waiting else None
            if entry is None:
                self._bell.recv_bytes()
                continue
            job, request = entry
            try:
                self._serve(job, request)
            except Exception as error:  # noqa: BLE001 - the lane must outlive any single job
                import traceback

                self._stop_child()
                job.post("failed", Bug(f"{type(error).__name__}: {error}", traceback.format_exc()))
        self._stop_child()

    def _serve(self, job: Job, request: tuple[str, tuple[Any, ...], dict[str, Any]]) -> None:
        try:
            connection = self._child()
            shared_array.send(connection, ("run", job.id))
            shared_array.send(connection, request)
            self._follow(job, connection)
        except (EOFError, ConnectionError):
            job.post("failed", self._obituary())

    def _follow(self, job: Job, connection: Connection[Any, Any]) -> None:
        """Pass on what the child says about this job until it ends or must be ended."""
        kill_at, heard = NO_LIMIT, time.monotonic()
        while not self._closing:
            stall_at = heard + job.stall_s if job.stall_s is not None else NO_LIMIT
            timeout = min(kill_at, stall_at) - time.monotonic()
            ready = wait([connection, self._bell], None if timeout == NO_LIMIT else max(0.0, timeout))
            if connection in ready:
                heard = time.monotonic()
                if self._pass_on(job, connection):
                    return
            if self._bell in ready:
                self._bell.recv_bytes()
                if job.id in self._cancelled and kill_at == NO_LIMIT:
                    kill_at = time.monotonic() + CANCEL_GRACE_S
                    shared_array.send(connection, ("cancel", job.id))
            now = time.monotonic()
            if now >= kill_at:
                self._stop_child()
                job.post("cancelled")
                return
            if now >= heard + (job.stall_s or NO_LIMIT):
                self._stop_child()
                job.post("failed", _stalled(self.name, job))
                return

    def _pass_on(self, job: Job, connection: Connection[Any, Any]) -> bool:
        """Read one message; True when it was the job's last."""
        kind, job_id, payload = shared_array.receive(connection).open(own_copy=False)
        if job_id != job.id:
            return False
        if kind == "failed" and isinstance(payload, tuple):
            name, text, trace = payload
            payload = Bug(f"{job.title or 'A background task'} failed: {name}: {text}"[:300], trace)
        job.post(kind, payload)
        return kind in ("finished", "failed", "cancelled")

    def _child(self) -> Connection[Any, Any]:
        """The connection to a living child, started anew where needed."""
        if self._connection is not None and self._process is not None and self._process.is_alive():
            return self._connection
        self._stop_child()
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe(duplex=True)
        # Not a daemon in multiprocessing's sense: engines may start processes of their own. The child ends by itself
        # when this connection closes.
        process = context.Process(target=worker.main, args=(there, self._options), name=f"brainviewer {self.name}")
        process.start()
        there.close()
        self._process, self._connection = process, here
        return here

    def _stop_child(self) -> None:
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if process is None:
            return
        if process.is_alive():
            process.kill()
        process.join(SHUTDOWN_S)
        if connection is not None:
            connection.close()
        with contextlib.suppress(ValueError):  # still running: it ignores even SIGKILL, stuck in the kernel
            process.close()

    def _obituary(self) -> WorkerDied:
        """What to tell about a child that is gone."""
        process = self._process
        code = None
        if process is not None:
            process.join(SHUTDOWN_S)
            code = process.exitcode
        self._stop_child()
        error = WorkerDied(
            f"The {self.name} worker stopped unexpectedly ({_cause(code)}).",
            "Nothing else is lost. Try again: a new worker starts by itself.",
        )
        with contextlib.suppress(OSError):
            error.details = self._crash_file.read_text(errors="replace")
        return error


def _cause(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    if -code == signal.SIGKILL:
        return "it was killed, perhaps because memory ran out"
    try:
        return f"{signal.strsignal(-code)}".lower()
    except ValueError:
        return f"signal {-code}"


def _stalled(name: str, job: Job) -> WorkerDied:
    return WorkerDied(
        f"The {name} worker gave no sign of life for {job.stall_s:g} seconds and was stopped.",
        "The file may be damaged. Everything else keeps working.",
    )
