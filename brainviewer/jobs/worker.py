"""The child process: takes one job after the other and answers."""

from __future__ import annotations

import faulthandler
import importlib
import inspect
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from brainviewer.jobs import shared_array
from engines.errors import Cancelled, KnownError, OutOfMemory

# More often than this, progress tells the eye nothing.
PROGRESS_INTERVAL_S = 0.03


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a child lives.

    nice: added niceness, so that the window stays smooth beside it. memory_bytes: address space it may take
    (None = no limit). crash_file: where the interpreter writes its stack when native code crashes.
    """

    nice: int = 0
    memory_bytes: int | None = None
    crash_file: Path | None = None


class _Desk:
    """The child's end of the conversation: which job runs, whether it was cancelled, how to answer."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self.connection = connection
        self.requests: queue.SimpleQueue[tuple[int, shared_array.Packet]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._lock = threading.Lock()

    def listen(self) -> None:
        """Read requests and cancellations until the viewer is gone; then end at once, whatever runs."""
        try:
            while True:
                kind, job_id = shared_array.receive(self.connection).open(own_copy=False)
                if kind == "run":
                    self.requests.put((job_id, shared_array.receive(self.connection)))
                else:
                    self._cancelled.add(job_id)
        except (EOFError, OSError):
            os._exit(0)

    def send(self, kind: str, job_id: int, payload: Any = None) -> None:
        with self._lock:
            shared_array.send(self.connection, (kind, job_id, payload))

    def is_cancelled(self, job_id: int) -> bool:
        return job_id in self._cancelled


def main(connection: Connection[Any, Any], options: WorkerOptions) -> None:
    """Serve jobs until the viewer closes the connection."""
    _settle(options)
    desk = _Desk(connection)
    threading.Thread(target=desk.listen, name="listen", daemon=True).start()
    while True:
        job_id, packet = desk.requests.get()
        _serve(desk, job_id, packet)
        del packet


def _settle(options: WorkerOptions) -> None:
    # Ctrl+C in the terminal is for the viewer, which then ends its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if options.crash_file is not None:
        # The descriptor must stay open for as long as the process lives.
        faulthandler.enable(os.open(options.crash_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    else:
        faulthandler.enable()
    if options.nice and hasattr(os, "nice"):
        os.nice(options.nice)
    if options.memory_bytes is not None and sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = options.memory_bytes if hard == resource.RLIM_INFINITY else min(options.memory_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _serve(desk: _Desk, job_id: int, packet: shared_array.Packet) -> None:
    """Run one job and send its end. Nothing that Python can catch ends the child."""
    desk.send("started", job_id)
    try:
        function, args, kwargs = packet.open(own_copy=True)
        result = _call(desk, job_id, function, args, kwargs)
        desk.send("finished", job_id, result)
    except Cancelled:
        desk.send("cancelled", job_id)
    except KnownError as error:
        desk.send("failed", job_id, _portable(error))
    except MemoryError:
        desk.send("failed", job_id, OutOfMemory("There is not enough memory for this.", "Close other programs."))
    except BaseException as error:  # noqa: BLE001 - a Rust panic or SystemExit is not an Exception, and must not end us
        desk.send("failed", job_id, (type(error).__name__, str(error), traceback.format_exc()))


def _call(desk: _Desk, job_id: int, function: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    module, _, name = function.partition(":")
    target: Callable[..., Any] = getattr(importlib.import_module(module), name)
    parameters = inspect.signature(target).parameters
    if "report" in parameters:
        kwargs["report"] = _reporter(desk, job_id)
    if "allocate" in parameters and shared_array.SHARED:
        kwargs["allocate"] = _allocator(desk, job_id)
    return target(*args, **kwargs)


def _reporter(desk: _Desk, job_id: int) -> Callable[[int, int, str], None]:
    last = 0.0

    def report(done: int, total: int, text: str = "") -> None:
        nonlocal last
        if desk.is_cancelled(job_id):
            raise Cancelled
        now = time.monotonic()
        if now - last >= PROGRESS_INTERVAL_S or done >= total:
            last = now
            desk.send("progress", job_id, (int(done), int(total), str(text)))

    return report


def _allocator(desk: _Desk, job_id: int) -> Callable[[tuple[int, ...]], Any]:
    def allocate(shape: tuple[int, ...]) -> Any:
        array = shared_array.shared_zeros(shape)
        if array.nbytes >= shared_array.LARGE_BYTES:
            desk.send("partial", job_id, array)
        return array

    return allocate


def _portable(error: KnownError) -> KnownError:
    """The error itself where it can cross to the viewer, else its sentences."""
    import pickle

    try:
        pickle.loads(pickle.dumps(error))  # our own bytes
    except Exception:  # noqa: BLE001 - any odd subclass must still reach the user
        return KnownError(error.message, error.remedy)
    return error
