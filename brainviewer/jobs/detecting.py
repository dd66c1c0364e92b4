"""From a volume in view to a run: an engine works in the engine worker, its result joins the session."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.job import Job
from brainviewer.jobs.tasks import Detection
from brainviewer.state.messages import Messages
from brainviewer.state.run import Run
from brainviewer.state.session import Session
from engines import KnownError
from engines.model_package import Model

DETECT = "brainviewer.jobs.tasks:detect_for_display"


class Detecting(QObject):
    """Runs engines on the series in view.

    function: what the worker calls; tests put another one here.

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
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._messages, self._host, self._function = session, messages, host, function
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
        self._jobs.append(job)

        def add(detection: Detection) -> None:
            run = Run(engine, title, str(model.folder), series.uid, detection.result, detection.percentiles)
            self._session.add_run(run)
            for warning in detection.result.provenance.warnings:
                self._messages.warn(f"{title}: {warning}")
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
