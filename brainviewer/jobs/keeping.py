"""What the user did is there the next day: studies join the library, runs are written to disk and read back."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QCoreApplication, QDeadlineTimer, QEventLoop, QObject, Signal

from brainviewer.jobs.detecting import Detecting
from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.job import Job
from brainviewer.jobs.opening import Opening
from brainviewer.jobs.tasks import Detection, QueuedRun
from brainviewer.state.messages import Messages
from brainviewer.state.run import Run
from brainviewer.state.session import Session
from brainviewer.storage import runs, thumbnails
from brainviewer.storage.library import Library, RunEntry
from brainviewer.storage.queue import Order
from brainviewer.study import Series, Study
from engines import KnownError, Volume


class Keeping(QObject):
    """Writes the library from what happens in the session, and brings kept runs back when their series is shown.

    Signals:
        changed: the library lists something else now.
    """

    changed = Signal()

    def __init__(
        self,
        session: Session,
        messages: Messages,
        library: Library,
        opening: Opening,
        detecting: Detecting,
        reading: WorkerHost,
        engines: WorkerHost,
    ) -> None:
        super().__init__()
        self._session, self._messages, self.library = session, messages, library
        self._reading, self._engines = reading, engines
        self._here: dict[str, str] = {}  # key -> series of runs that are in the session or on their way
        self._writing: list[Job] = []
        opening.opened.connect(self._remember)
        detecting.finished.connect(self._keep)
        session.run_removed.connect(self._remove)
        session.series_changed.connect(self._restore)
        session.studies_changed.connect(self._restore)

    def sweep(self) -> None:
        """Delete what a crash left half kept."""
        self._reading.submit("", "brainviewer.storage.runs:sweep", self.library.run_keys())

    def finish(self, seconds: float = 10.0) -> None:
        """Wait until finished runs are on disk; for when the window closes."""
        until = QDeadlineTimer(int(seconds * 1000))
        while self._writing and not until.hasExpired():
            QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents, 50)

    def forget(self, study_uid: str) -> None:
        """Take a study and its kept runs out of the library; its own files stay as they are."""
        try:
            keys = self.library.forget(study_uid)
        except KnownError as error:
            self._messages.error(error)
            return
        if keys:
            self._reading.submit("", "brainviewer.jobs.tasks:remove_runs", keys)
        self.changed.emit()

    def tag(self, study_uid: str, names: tuple[str, ...]) -> None:
        """Give a study these tags."""
        try:
            self.library.tag(study_uid, names)
        except KnownError as error:
            self._messages.error(error)
        self.changed.emit()

    def _remember(self, study: Study) -> None:
        first = study.series[0].uid if study.series else ""
        try:
            self.library.remember(study, thumbnails.name_of(first))
        except KnownError as error:
            self._messages.error(error)
        self._audit("open", study.uid, series=len(study.series))
        self.changed.emit()

    def _keep(self, run: Run, volume: Volume) -> None:
        study = self._study_of(run.series_uid)
        if study is None:
            return
        self._here[run.key] = run.series_uid
        # In the engine worker: the next study can be opened meanwhile.
        job = self._engines.submit("", "brainviewer.jobs.tasks:keep_run", runs.folder(run.key), run.result, volume)
        self._writing.append(job)
        job.finished.connect(lambda _: self._note(run, study.uid))
        job.failed.connect(self._messages.error)
        job.ended.connect(lambda: self._writing.remove(job))

    def _note(self, run: Run, study_uid: str) -> None:
        how, result = run.result.provenance, run.result
        try:
            self.library.add_run(
                RunEntry(
                    run.key,
                    study_uid,
                    run.series_uid,
                    run.engine,
                    run.title,
                    run.model,
                    how.model_digest,
                    run.created,
                    how.seconds,
                    result.score,
                    result.score_percentile,
                )  # fmt: skip
            )
        except KnownError as error:
            self._messages.error(error)
        self._audit("run", study_uid, engine=run.engine, model=how.model_digest)
        self.changed.emit()

    def _audit(self, what: str, study_uid: str, **details: Any) -> None:
        """Add to the audit trail, in the worker: it waits for the disk."""
        job = self._reading.submit("", "brainviewer.storage.audit:note", what, study_uid, **details)
        job.failed.connect(self._messages.error)

    def take(self, order: Order, key: str, done: QueuedRun) -> None:
        """Note a run of the queue, whose files are written; where its series is open it is shown."""
        entry = RunEntry(
            key,
            order.study,
            order.series,
            order.engine,
            order.title,
            str(order.model),
            done.model_digest,
            datetime.now(UTC),
            done.seconds,
            done.score,
            done.score_percentile,
        )
        try:
            self.library.add_run(entry)
        except KnownError as error:
            self._messages.error(error)
        self._audit("run", order.study, engine=order.engine, model=done.model_digest)
        self._restore()
        self.changed.emit()

    def repeat(self, run: Run) -> Job | None:
        """Do a kept run on the series in view again, and tell how the repetition compares."""
        volume = self._session.volume
        if volume is None or not self._session.complete:
            return None
        job = self._engines.submit(
            f"Repeating {run.title}", "brainviewer.jobs.tasks:repeat", runs.folder(run.key), Path(run.model), volume
        )
        job.finished.connect(lambda said: self._messages.note(f"{run.title}: {said}"))
        job.failed.connect(self._messages.error)
        return job

    def _remove(self, run: Run) -> None:
        try:
            self.library.remove_run(run.key)
        except KnownError as error:
            self._messages.error(error)
        # After a job that may still be writing it.
        self._engines.submit("", "brainviewer.jobs.tasks:remove_runs", (run.key,))
        self.changed.emit()

    def _restore(self) -> None:
        """Ask for the kept runs of the study in view, the newest first so that it is the one shown.

        Those of the series in view come first; those of its sisters are there to be compared with.
        """
        open_now = {series.uid for study in self._session.studies for series in study.series}
        self._here = {key: uid for key, uid in self._here.items() if uid in open_now}
        study, series = self._session.study, self._session.series
        if study is None or series is None:
            return
        every = {one.uid: one for one in study.series}
        kept = [one for one in reversed(self.library.runs(study.uid)) if one.series in every]
        for entry in sorted(kept, key=lambda one: one.series != series.uid):
            if entry.key not in self._here:
                self._here[entry.key] = entry.series
                job = self._reading.submit("", "brainviewer.jobs.tasks:read_run", runs.folder(entry.key))
                job.finished.connect(partial(self._show, entry, every[entry.series]))
                job.failed.connect(partial(self._lost, entry))

    def _show(self, entry: RunEntry, series: Series, found: Detection) -> None:
        if found.percentiles.shape != series.shape:
            self._lost(entry, KnownError("It lies on another grid than the series has now.", "Run the engine again."))
            return
        self._session.restore_run(
            Run(
                entry.engine,
                entry.title,
                entry.model,
                entry.series,
                found.result,
                found.percentiles,
                entry.created,
                entry.key,
            )  # fmt: skip
        )

    def _lost(self, entry: RunEntry, error: Exception) -> None:
        told = error if isinstance(error, KnownError) else KnownError(str(error))
        self._messages.warn(f"The kept run of {entry.title} cannot be shown. {told.message}", told.remedy)

    def _study_of(self, series_uid: str) -> Study | None:
        return next(
            (study for study in self._session.studies if any(one.uid == series_uid for one in study.series)), None
        )
