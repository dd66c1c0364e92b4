"""From a volume in view to a run: an engine works in the engine worker, its result joins the session."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject, Signal

from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.job import Job
from brainviewer.jobs.tasks import Detection
from brainviewer.state.messages import Messages
from brainviewer.state.run import Run
from brainviewer.state.session import Session
from brainviewer.study import Series
from engines import KnownError, Volume
from engines.model_package import Model
from engines.result import THRESHOLD_CURVE

DETECT = "brainviewer.jobs.tasks:detect_for_display"
RETHRESHOLD = "brainviewer.jobs.tasks:rethreshold_for_display"


class Detecting(QObject):
    """Runs engines on the series in view.

    function, again: what the worker calls for a run, and for one with another gamma; tests put others here.

    Signals:
        changed: a run was asked for, began or ended.
        finished(Run, Volume): a run on this volume joined the session.
    """

    changed = Signal()
    finished = Signal(object, object)

    def __init__(
        self,
        session: Session,
        messages: Messages,
        host: WorkerHost,
        function: str = DETECT,
        again: str = RETHRESHOLD,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._messages, self._host = session, messages, host
        self._function, self._again = function, again
        self._jobs: list[Job] = []

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Runs that wait or work, oldest first."""
        return tuple(self._jobs)

    def run(self, engine: str, title: str, model: Model, device: str = "auto") -> Job | None:
        """Ask for a run on the volume in view; None when there is no complete volume."""
        series, volume = self._session.series, self._session.volume
        if series is None or volume is None or not self._session.complete:
            self._messages.error(KnownError("There is no complete volume to run on.", "Open a study first."))
            return None
        job = self._host.submit(title, self._function, engine, model.folder, volume, device)
        return self._follow(job, engine, title, str(model.folder), series, volume)

    def rethreshold(self, run: Run, gamma: float, device: str = "auto") -> Job | None:
        """Ask for a run with another gamma; it takes the place of this one. None when its volume is not in view."""
        series, volume = self._session.series, self._session.volume
        if series is None or volume is None or not self._session.complete or series.uid != run.series_uid:
            return None
        title = f"{run.title}, gamma {gamma:.3g}"
        digest, curve = run.result.provenance.model_digest, run.result.extras[THRESHOLD_CURVE]
        job = self._host.submit(title, self._again, run.engine, Path(run.model), digest, volume, curve, gamma, device)
        return self._follow(job, run.engine, run.title, run.model, series, volume)

    def _follow(self, job: Job, engine: str, title: str, model: str, series: Series, volume: Volume) -> Job:
        self._jobs.append(job)
        study = self._session.study.title if self._session.study is not None else series.title

        def add(detection: Detection) -> None:
            run = Run(engine, title, model, series.uid, detection.result, detection.percentiles)
            self._session.add_run(run)
            for warning in detection.result.provenance.warnings:
                # The reader may be at another study when it comes.
                self._messages.warn(f"{title} on {study}: {warning}")
            self.finished.emit(run, volume)

        job.finished.connect(add)
        job.failed.connect(self._messages.error)
        job.cancelled.connect(lambda: self._messages.note(f"{title} was stopped."))
        job.started.connect(self.changed)
        job.ended.connect(lambda: self._forget(job))
        self.changed.emit()
        return job

    def cancel_all(self) -> None:
        """Stop every run, the waiting ones too."""
        for job in reversed(self._jobs):
            job.cancel()

    def _forget(self, job: Job) -> None:
        if job in self._jobs:
            self._jobs.remove(job)
        self.changed.emit()
