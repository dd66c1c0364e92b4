"""Arrays that two processes see at once, without copies through a pipe and without names that could leak.

Each array of 64 KiB or more lives in an anonymous memory file (Linux memfd). Its file descriptor travels over the
socket beside the pickled message, so nothing ever appears in /dev/shm and the kernel frees the memory when the last
process that maps it ends, also after kill -9. Where the platform has no memfd, arrays are pickled whole: slower,
same result, and `partial` arrays are not announced.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import socket
import weakref
from collections.abc import Sequence
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGE_BYTES = 64 * 1024
SHARED = hasattr(os, "memfd_create")
# Libraries that only workers may load; the viewer would stand still for seconds.
WORKER_ONLY = frozenset({"torch"})
# One sendmsg carries at most 253 descriptors (SCM_MAX_FD).
FDS_A_MESSAGE = 200


class Segment(mmap.mmap):
    """Memory shared between processes; `fd` names it for as long as the mapping lives."""

    fd: int


def _map(fd: int, access: int) -> Segment:
    segment = Segment(fd, 0, access=access)
    segment.fd = fd
    weakref.finalize(segment, os.close, fd)
    return segment


def shared_zeros(shape: Sequence[int], dtype: Any = np.float32) -> NDArray[Any]:
    """A writable array of zeros in shared memory; the first axis is contiguous, as in scanners and VTK."""
    size = max(1, int(np.prod([int(n) for n in shape], dtype=object)) * np.dtype(dtype).itemsize)
    fd = os.memfd_create("brainviewer", os.MFD_CLOEXEC)
    try:
        os.ftruncate(fd, size)
        segment = _map(fd, mmap.ACCESS_WRITE)
    except OSError as error:
        os.close(fd)
        raise MemoryError(f"{size} bytes of shared memory") from error
    return np.ndarray(tuple(shape), dtype, segment, order="F")


def segment_of(array: NDArray[Any]) -> Segment | None:
    """The shared memory that holds exactly this array, or None."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    contiguous = array.flags.c_contiguous or array.flags.f_contiguous
    if isinstance(base, Segment) and contiguous and array.nbytes == len(base):
        return base
    return None


def same_memory(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """True when two arrays are views of one shared memory, though mapped twice."""
    segments = segment_of(one), segment_of(other)
    if segments[0] is None or segments[1] is None:
        return False
    return os.path.samestat(os.fstat(segments[0].fd), os.fstat(segments[1].fd))


def _shareable(array: NDArray[Any]) -> NDArray[Any]:
    """The array itself where it already lives in shared memory, else a copy that does."""
    if segment_of(array) is not None:
        return array
    if array.flags.c_contiguous and not array.flags.f_contiguous:
        # The same memory order on the other side: reverse the axes, copy, reverse back.
        reverse = shared_zeros(array.shape[::-1], array.dtype)
        reverse[...] = array.T
        return reverse.T
    copy = shared_zeros(array.shape, array.dtype)
    copy[...] = array
    return copy


class _Pickler(pickle.Pickler):
    """Puts large arrays aside, wherever they are inside the message."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, pickle.HIGHEST_PROTOCOL)
        self.arrays: list[NDArray[Any]] = []

    def persistent_id(self, value: Any) -> tuple[int, tuple[int, ...], str, str] | None:
        large = type(value) is np.ndarray and value.nbytes >= LARGE_BYTES and not value.dtype.hasobject
        if not (SHARED and large):
            return None
        shared = _shareable(value)
        self.arrays.append(shared)
        order = "F" if shared.flags.f_contiguous else "C"
        return len(self.arrays) - 1, shared.shape, shared.dtype.str, order

    def reducer_override(self, value: Any) -> Any:
        """Texts of torch (its version is one) become plain texts: opening the message must not import torch."""
        if type(value).__module__.partition(".")[0] not in WORKER_ONLY:
            return NotImplemented
        if isinstance(value, str):
            return str, (str(value),)
        raise TypeError(f"{type(value).__qualname__} cannot leave the worker: results hold numpy arrays, not tensors.")


class _Unpickler(pickle.Unpickler):
    """Lays arrays over the shared memory that came with the message."""

    def __init__(self, payload: bytes, segments: list[Segment]) -> None:
        super().__init__(io.BytesIO(payload))
        self._segments = segments

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] in WORKER_ONLY:
            raise pickle.UnpicklingError(f"{module}.{name} cannot leave the worker.")
        return super().find_class(module, name)

    def persistent_load(self, key: Any) -> NDArray[Any]:
        index, shape, dtype, order = key
        return np.ndarray(shape, dtype, self._segments[index], order=order)


class Packet:
    """A message as received: bytes and descriptors. `open` makes objects of it, on the thread that wants them."""

    def __init__(self, payload: bytes, fds: list[int]) -> None:
        self._payload = payload
        self._segments: list[Segment] = []
        self._fds = fds

    def open(self, *, own_copy: bool) -> Any:
        """The message. Its arrays are read-only views, or private writable ones (pages are copied when written)."""
        access = mmap.ACCESS_COPY if own_copy else mmap.ACCESS_READ
        segments = []
        while self._fds:
            segments.append(_map(self._fds.pop(0), access))
        return _Unpickler(self._payload, segments).load()


def send(connection: Connection[Any, Any], message: Any) -> None:
    """Send a message; large arrays inside it go by shared memory."""
    stream = io.BytesIO()
    pickler = _Pickler(stream)
    pickler.dump(message)
    fds = [segment.fd for array in pickler.arrays if (segment := segment_of(array)) is not None]
    connection.send_bytes(len(fds).to_bytes(4, "little") + stream.getvalue())
    for start in range(0, len(fds), FDS_A_MESSAGE):
        with socket.fromfd(connection.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            reduction.sendfds(channel, fds[start : start + FDS_A_MESSAGE])


def receive(connection: Connection[Any, Any]) -> Packet:
    """Wait for a message; raises EOFError or OSError when the other side is gone."""
    data = connection.recv_bytes()
    left = int.from_bytes(data[:4], "little")
    fds: list[int] = []
    while left:
        count = min(left, FDS_A_MESSAGE)
        with socket.fromfd(connection.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            fds += reduction.recvfds(channel, count)
        left -= count
    return Packet(data[4:], fds)
