"""All runs of a study on the grid of the series in view, so that engines for T1 and FLAIR can be compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, QTimer, Signal

from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.job import Job
from brainviewer.state.messages import Messages
from brainviewer.state.run import Run
from brainviewer.state.session import Session
from brainviewer.study import Series

Maps = tuple[NDArray[np.float32], NDArray[np.bool_]]


class Aligning(QObject):
    """Runs on the series in view as they are, runs on its sister series resampled in patient space, for display only.

    Signals:
        changed: other runs, or a resampled one arrived.
    """

    changed = Signal()

    def __init__(self, session: Session, messages: Messages, host: WorkerHost) -> None:
        super().__init__()
        self._session, self._messages, self._host = session, messages, host
        self._moved: dict[tuple[str, str], Maps | Job] = {}
        self._later = QTimer(self, singleShot=True, interval=0)
        self._later.timeout.connect(self._align)
        session.runs_changed.connect(self._later.start)

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every run that can be laid over the series in view, oldest first."""
        shown = self._session.series
        if shown is None:
            return ()
        found = []
        for run in self._session.study_runs:
            moved = self._moved.get((run.key, shown.uid))
            if run.series_uid == shown.uid:
                found.append(run)
            elif isinstance(moved, tuple):
                percentiles, region = moved
                found.append(replace(run, percentiles=percentiles, result=replace(run.result, region=region)))
        return tuple(found)

    def _align(self) -> None:
        shown, study = self._session.series, self._session.study
        runs = {run.key: run for run in self._session.study_runs}
        # Resampled copies for another series than the one in view only take memory.
        self._moved = {
            key: value for key, value in self._moved.items() if shown and key[1] == shown.uid and key[0] in runs
        }
        if shown is not None and study is not None and not shown.is_picture:
            for run in runs.values():
                source = next((one for one in study.series if one.uid == run.series_uid), None)
                if source is not None and source is not shown and (run.key, shown.uid) not in self._moved:
                    self._move(run, source, shown)
        self.changed.emit()

    def _move(self, run: Run, source: Series, shown: Series) -> None:
        key = (run.key, shown.uid)
        job = self._host.submit(
            "", "brainviewer.jobs.tasks:align", run.percentiles, run.result.region, np.array(source.affine),
            shown.shape, np.array(shown.affine),
        )  # fmt: skip
        self._moved[key] = job

        def put(maps: Maps) -> None:
            if self._moved.get(key) is job:
                self._moved[key] = maps
                self.changed.emit()

        job.finished.connect(put)
        job.failed.connect(self._messages.error)
