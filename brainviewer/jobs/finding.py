"""Findings of the runs in view, kept up with the threshold: made in the reading worker, which is mostly idle."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal

from brainviewer.jobs.aligning import Aligning
from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.job import Job
from brainviewer.jobs.tasks import Found
from brainviewer.state import Display
from brainviewer.state.messages import Messages
from brainviewer.state.run import Run
from brainviewer.state.session import Session
from brainviewer.study.orientation import is_oriented

# The slider of the threshold is followed when it rests.
REST_MS = 250
NOTHING = Found((), ())


class Finding(QObject):
    """What the runs of the study in view found above the threshold.

    Signals:
        changed: other findings, or a search for them began.
    """

    changed = Signal()

    def __init__(
        self, session: Session, display: Display, messages: Messages, host: WorkerHost, aligning: Aligning
    ) -> None:
        super().__init__()
        self._session, self._display, self._messages, self._host = session, display, messages, host
        self._aligning = aligning
        self._job: Job | None = None
        self._asked: object = None
        self.found = NOTHING
        self.runs: tuple[Run, ...] = ()
        self._soon = QTimer(self, singleShot=True, interval=REST_MS)
        self._soon.timeout.connect(self._ask)
        aligning.changed.connect(self._soon.start)
        display.changed.connect(lambda name: self._soon.start() if name == "threshold" else None)

    @property
    def searching(self) -> bool:
        """True while the list is being made."""
        return self._job is not None

    def _ask(self) -> None:
        volume = self._session.volume
        runs = tuple(run for run in self._aligning.runs if volume and run.percentiles.shape == volume.shape)
        asked = tuple(run.key for run in runs), volume and volume.uid, self._display.threshold
        if asked == self._asked:
            return
        self._asked = asked
        if self._job is not None:
            self._job.cancel()
            self._job = None
        if not runs or volume is None:
            self._show((), NOTHING)
            return
        job = self._host.submit(
            "",
            "brainviewer.jobs.tasks:find",
            [run.percentiles for run in runs],
            [run.result.region for run in runs],
            volume.affine,
            self._display.threshold,
            volume.calibrated,
            is_oriented(volume),
        )
        self._job = job
        job.finished.connect(lambda found: self._show(runs, found) if job is self._job else None)
        job.failed.connect(self._messages.error)
        job.ended.connect(lambda: self._end(job))
        self.changed.emit()

    def _show(self, runs: tuple[Run, ...], found: Found) -> None:
        self.runs, self.found = runs, found
        self.changed.emit()

    def _end(self, job: Job) -> None:
        if job is self._job:
            self._job = None
            self.changed.emit()
