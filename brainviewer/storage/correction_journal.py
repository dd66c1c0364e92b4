"""The write-ahead journal of a correction: every stroke reaches the file before the next one begins."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from brainviewer.storage import folders
from brainviewer.storage.correction_records import MAGIC, Event, Kind, Place, encode, framed, is_torn
from brainviewer.study.correction import Correction
from brainviewer.study.mask_edit import Edit
from engines import KnownError


def replay(correction: Correction, events: Iterator[tuple[Event, Place]]) -> tuple[Place, Event | None]:
    """Take all steps of a journal again; returns where it ends and its last event.

    Stops before an edit that does not fit the mask, as before a damaged one.
    """
    place, last = Place(), None
    for event, after in events:
        if event.edit is not None:
            if not _fits(correction, event.edit):
                break
            correction.apply(event.edit)
        elif event.kind is Kind.UNDO:
            correction.undo()
        elif event.kind is Kind.REDO:
            correction.redo()
        place, last = after, event
    return place, last


def _fits(correction: Correction, edit: Edit) -> bool:
    bounds = zip((edit.box.i, edit.box.j, edit.box.k), correction.mask.shape, strict=True)
    slices = len(correction.states)
    inside = all(0 <= low <= high <= size for (low, high), size in bounds)
    return inside and all(0 <= change.index < slices for change in edit.states)


class Journal:
    """A journal open for writing. `add` returns when the record is with the system; `flush` waits for the disk.

    A record that is with the system survives the end of this program, however sudden; one on the disk survives a power
    cut as well. Where writing fails the records wait in memory, and go with the next one that can be written.
    Raises KnownError where the file is open in another window.
    """

    def __init__(self, path: Path, place: Place | None = None) -> None:
        """place: where its good records end (None for a new one); what stands after that is cut off."""
        self.path = path
        self._place = place or Place(0)
        self._waiting: list[bytes] = []
        self._file: int | None = None
        # What stands behind the good records: the torn end that a crash or a full disk left.
        self._torn = True
        self._open()

    @property
    def place(self) -> Place:
        """Where its good records end."""
        return self._place

    @property
    def waiting(self) -> int:
        """Records that could not be written yet."""
        return len(self._waiting)

    def _open(self) -> None:
        folders.make(self.path.parent)
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        except OSError as error:
            raise _not_saved(self.path, error) from error
        if not _lock(file):
            os.close(file)
            raise KnownError(
                "These corrections are open in another window.",
                "Close it there first.",
            )
        self._file = file
        self._put_aside()

    def _put_aside(self) -> None:
        """Keep what stands behind the good records where it is more than one half-written record: never delete work."""
        assert self._file is not None  # noqa: S101 - called by _open
        size = os.fstat(self._file).st_size
        begin = self._place.offset
        if size > begin:
            os.lseek(self._file, begin, os.SEEK_SET)
            rest = os.read(self._file, size - begin)
            if begin and not is_torn(rest) or not begin and rest != MAGIC[: len(rest)]:
                with contextlib.suppress(OSError):
                    self.path.with_name(f"{self.path.stem}-{time.time_ns()}.damaged").write_bytes(rest)

    def add(self, event: Event) -> None:
        """Write one event; raises KnownError where it has to wait in memory."""
        self._waiting.append(encode(event))
        self.catch_up()

    def catch_up(self) -> None:
        """Write what waits; raises KnownError where that fails again."""
        try:
            if self._file is None:
                self._open()
            while self._waiting:
                self._write(self._waiting[0])
                del self._waiting[0]
        except OSError as error:
            raise _not_saved(self.path, error) from error

    def _write(self, content: bytes) -> None:
        assert self._file is not None  # noqa: S101 - opened by catch_up
        data, chain = framed(content, self._place.chain)
        if not self._place.offset:
            data = MAGIC + data
        try:
            if self._torn:
                os.ftruncate(self._file, self._place.offset)
                self._torn = False
            os.lseek(self._file, self._place.offset, os.SEEK_SET)
            left = memoryview(data)
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            self._torn = True
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._place.offset)
            raise
        self._place = Place(self._place.offset + len(data), chain)

    def flush(self) -> None:
        """Wait until the disk has everything; may take a tenth of a second. May run on another thread."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.fsync(self._file)

    def close(self) -> None:
        """Note that the end was orderly, and let go of the file."""
        if self._file is None:
            return
        with contextlib.suppress(KnownError):
            self.add(Event(Kind.CLOSED, at=time.time()))
        self.flush()
        os.close(self._file)
        self._file = None


def _not_saved(path: Path, error: OSError) -> KnownError:
    return KnownError(
        f"Corrections cannot be saved in {path.parent}: {error.strerror or error}.",
        "They stay in memory until it works again: free some space, or check the folder's permissions.",
    )


def _lock(file: int) -> bool:
    """Take the file for this program alone; ends by itself with the program."""
    if sys.platform == "win32":
        import msvcrt

        try:
            # Far behind any content: on Windows a lock also forbids reading.
            os.lseek(file, 1 << 40, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_open(path: Path) -> bool:
    """True while a window writes this journal."""
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _lock(file)
    finally:
        os.close(file)


def read(path: Path) -> bytes:
    """The bytes of a journal; b"" where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise KnownError(f"Corrections in {path.parent} cannot be read: {error.strerror}.") from error
