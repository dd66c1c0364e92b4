"""From a path to voxels in view: scan, choose a series, decode, make thumbnails. All in the reading worker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from brainviewer.jobs import shared_array
from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.job import Job
from brainviewer.reading.loading import Loaded
from brainviewer.state.messages import Messages
from brainviewer.state.session import Session
from brainviewer.state.turn import Turn
from brainviewer.study import Series, Study
from engines import Volume

# A reader that says nothing for this long hangs on a damaged file.
STALL_S = 10.0
# Headers of a slow network folder may pause for longer.
SCAN_STALL_S = 60.0
# Views follow the decoding at this pace; more would slow the decoding down on small machines.
REFRESH_S = 0.4


class Opening(QObject):
    """Opens studies and loads the series that the session wants in view.

    Signals:
        opened: a Study was read and added. loading_changed: a series began or ended loading.
    """

    opened = Signal(object)
    loading_changed = Signal()

    def __init__(self, session: Session, messages: Messages, host: WorkerHost, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session, self._messages, self._host = session, messages, host
        self._load: Job | None = None
        self._loading: Series | None = None
        self._partial: NDArray[Any] | None = None
        self._no_thumbnail: set[str] = set()
        self._thumbnail: Job | None = None
        # A volume that comes into view has much drawn: not together with the worker's other news.
        self._appear = Turn(self)
        self._appear.due.connect(self._show_partial)
        session.series_changed.connect(self._follow_series)
        host.changed.connect(self._next_thumbnail)

    @property
    def loading(self) -> Series | None:
        """The series being read now."""
        return self._loading

    @property
    def load_job(self) -> Job | None:
        """The work that reads it."""
        return self._load

    def warm_up(self) -> None:
        """Start the reading worker ahead of the first study."""
        self._host.submit("", "brainviewer.jobs.tasks:warm_reading")

    def open(self, paths: Sequence[Path]) -> Job:
        """Find the studies in files and folders and bring the first sensible series into view."""
        names = ", ".join(path.name or str(path) for path in paths[:2]) + (" ..." if len(paths) > 2 else "")
        job = self._host.submit(
            f"Looking through {names}", "brainviewer.reading:scan", list(paths), stall_s=SCAN_STALL_S
        )
        job.finished.connect(self._add)
        job.failed.connect(self._messages.error)
        return job

    def _add(self, studies: list[Study]) -> None:
        for study in studies:
            self._session.add_study(study)
            self.opened.emit(study)
            if study.problems:
                more = f" and {len(study.problems) - 1} more" if len(study.problems) > 1 else ""
                self._messages.warn(f"{study.problems[0]}{more}", "The other files of the study are shown.")
        best = first_series(studies)
        if best is not None:
            self._session.choose_series(best)

    def _follow_series(self) -> None:
        series = self._session.series
        if self._load is not None and (series is None or self._loading is not series):
            self._load.cancel()
            self._load = self._loading = self._partial = None
        if series is not None and self._session.volume is None:
            self._start(series)
        self.loading_changed.emit()

    def _start(self, series: Series) -> None:
        job = self._host.submit(f"Reading {series.title}", "brainviewer.reading:read", series, stall_s=STALL_S)
        self._load, self._loading, self._partial = job, series, None
        last_refresh = time.monotonic()

        def fill(done: int, _total: int, _text: str) -> None:
            nonlocal last_refresh
            if done and job is self._load and self._partial is not None:
                if self._session.volume is None:
                    self._appear.start()
                elif time.monotonic() - last_refresh > REFRESH_S:
                    last_refresh = time.monotonic()
                    self._session.volume_filled.emit()

        job.partial.connect(lambda array: self._keep_partial(job, series, array))
        job.progress.connect(fill)
        job.finished.connect(lambda loaded: self._finish(job, series, loaded))
        job.failed.connect(lambda error: self._fail(job, series, error))
        job.cancelled.connect(lambda: self._end(job, series))

    def _keep_partial(self, job: Job, series: Series, array: NDArray[Any]) -> None:
        if job is self._load and array.shape == series.shape:
            self._partial = array

    def _show_partial(self) -> None:
        series = self._loading
        if self._partial is not None and series is not None and self._session.volume is None:
            affine = np.array(series.affine, dtype=np.float64)
            volume = Volume(self._partial, affine, series.modality, series.uid, series.calibrated)
            self._session.put_partial(series, volume)

    def _finish(self, job: Job, series: Series, loaded: Loaded) -> None:
        volume = loaded.volume
        shown = self._session.volume
        same = (
            job is self._load
            and shown is not None
            and shared_array.same_memory(shown.voxels, volume.voxels)
            and np.allclose(shown.affine, volume.affine)
        )
        if loaded.problems:
            count = len(loaded.problems)
            slices = "1 slice" if count == 1 else f"{count} slices"
            self._messages.warn(
                f"{slices} of {series.title} cannot be decoded and stay empty. {loaded.problems[0]}",
                "Engines do not run on an incomplete scan.",
            )
        self._session.put_volume(series, volume, same_memory=same, damaged=bool(loaded.problems))
        self._end(job, series)

    def _fail(self, job: Job, series: Series, error: Exception) -> None:
        self._messages.error(error)
        self._end(job, series)

    def _end(self, job: Job, series: Series) -> None:
        if job is self._load:
            self._load = self._loading = self._partial = None
            self._session.drop_partial(series)
            self.loading_changed.emit()

    def _next_thumbnail(self) -> None:
        """While the worker has nothing else to do, picture one more series."""
        if self._host.jobs:
            return
        for study in self._session.studies:
            for series in study.series:
                if self._session.thumbnail(series.uid) is None and series.uid not in self._no_thumbnail:
                    self._picture(series)
                    return

    def _picture(self, series: Series) -> None:
        # Asked for once: a series that cannot be pictured is simply without picture.
        self._no_thumbnail.add(series.uid)
        job = self._host.submit("", "brainviewer.reading:thumbnail", series, stall_s=STALL_S)
        job.finished.connect(lambda picture: self._session.put_thumbnail(series.uid, picture))
        self._thumbnail = job


def first_series(studies: Sequence[Study]) -> Series | None:
    """The series worth a first look: rather a volume of known contrast than a picture, a localiser or a warning."""

    def rank(series: Series) -> tuple[bool, bool, bool, bool]:
        few = not series.is_picture and min(series.shape) < 8
        return series.is_picture, few, not series.modality, bool(series.warnings)

    every = [series for study in studies for series in study.series]
    return min(every, key=rank) if every else None
