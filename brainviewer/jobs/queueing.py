"""Runs on many studies, one after the other, without opening them; what is left goes on after a restart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from brainviewer.jobs.detecting import Detecting
from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.job import Job
from brainviewer.jobs.keeping import Keeping
from brainviewer.jobs.tasks import QueuedRun
from brainviewer.state.messages import Messages
from brainviewer.storage import runs
from brainviewer.storage.library import StudyEntry
from brainviewer.storage.queue import Entry, Order, State
from engines import KnownError

if TYPE_CHECKING:
    from engines.model_package import Model

TASK = "brainviewer.jobs.tasks:run_queued"


class Queueing(QObject):
    """Works through the queue while the reader does not run engines.

    function: what the worker calls; tests put another one here.

    Signals:
        changed: the queue, or the progress of the order in work, is another.
    """

    changed = Signal()

    def __init__(
        self, keeping: Keeping, detecting: Detecting, messages: Messages, engines: WorkerHost, function: str = TASK
    ) -> None:
        super().__init__()
        self._keeping, self._detecting, self._messages = keeping, detecting, messages
        self._engines, self._function = engines, function
        self._queue = keeping.library.queue
        self._job: Job | None = None
        self._taken_up = self._closed = False
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._next)
        detecting.changed.connect(self._soon.start)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The queue, first order first."""
        return () if self._closed else self._queue.entries()

    @property
    def job(self) -> Job | None:
        """The order in work."""
        return self._job

    def take_up(self) -> None:
        """Go on where the program ended last; nothing begins before, or what is in work now would seem left behind."""
        self._taken_up = True
        if waiting := self._try(self._queue.take_up):
            self._messages.note(f"{_count(waiting)} of the queue {'goes' if waiting == 1 else 'go'} on.")
        self._after_change()

    def orders(
        self, studies: Sequence[StudyEntry], models: Sequence[Model], titles: Mapping[str, str], device: str = "auto"
    ) -> list[Order]:
        """Every engine with a model for a series of each study; not what was run with the same model already.

        models: the first one of an engine that fits a series is taken. titles: of the run, by the model's digest.
        """
        found = []
        for study in studies:
            done = {(run.engine, run.model_digest, run.series) for run in self._keeping.library.runs(study.uid)}
            series = self._keeping.library.series(study.uid)
            chosen: dict[str, Order] = {}
            for model in models:
                card = model.card
                fitting = [uid for uid, modality in series if modality == card.modality]
                if card.modality and fitting and card.engine not in chosen:
                    order = Order(
                        study.uid, study.title, study.path, fitting[0], card.engine, model.folder,
                        titles[card.digest], device,
                    )  # fmt: skip
                    chosen[card.engine] = order
                    if (card.engine, card.digest, fitting[0]) not in done:
                        found.append(order)
        return found

    def add(self, orders: Sequence[Order]) -> None:
        """Put orders at the end of the queue and begin."""
        self._try(lambda: self._queue.add(orders))
        self._after_change()

    def stop(self) -> None:
        """Stop the order in work and all that wait; they stay in the list and can be taken up again."""
        for entry in self.entries:
            if entry.state == "waiting":
                self._set(entry, "stopped")
        if self._job is not None:
            self._job.cancel()
        self.changed.emit()

    def retry(self) -> None:
        """Let what failed or was stopped wait again."""
        for entry in self.entries:
            if entry.state in ("failed", "stopped"):
                self._set(entry, "waiting")
        self._after_change()

    def clear(self) -> None:
        """Take what is over off the list; the runs stay in the library."""
        self._try(lambda: self._queue.remove(("done", "failed", "stopped")))
        self.changed.emit()

    def _after_change(self) -> None:
        self._soon.start()
        self.changed.emit()

    def _set(self, entry: Entry, state: State, message: str = "") -> None:
        # A window that closes ends all jobs; that is no wish of the reader's.
        if not self._closed:
            self._try(lambda: self._queue.set_state(entry.id, state, message))

    def _try(self, change: Callable[[], int | None]) -> int:
        try:
            return change() or 0
        except KnownError as error:
            self._messages.error(error)
            return 0

    def _next(self) -> None:
        """Begin with the first order that waits; what the reader asked for comes first."""
        if self._job is not None or self._detecting.jobs or self._closed or not self._taken_up:
            return
        try:
            entry = self._queue.claim()
        except KnownError as error:
            self._messages.error(error)
            return
        if entry is None:
            return
        order, key = entry.order, runs.new_key()
        job = self._engines.submit(
            f"{order.title} (queue)", self._function, order.path, order.study, order.series, order.engine,
            order.model, runs.folder(key), order.device,
        )  # fmt: skip
        self._job = job
        job.finished.connect(lambda done: self._finish(entry, key, done))
        job.failed.connect(lambda error: self._set(entry, "failed", getattr(error, "message", str(error))))
        job.cancelled.connect(lambda: self._set(entry, "stopped"))
        for told in (job.started, job.progress):
            told.connect(self.changed)
        job.ended.connect(self._end)
        self.changed.emit()

    def _finish(self, entry: Entry, key: str, done: QueuedRun) -> None:
        if not self._closed:
            self._keeping.take(entry.order, key, done)
            self._set(entry, "done")

    def _end(self) -> None:
        self._job = None
        if not self._closed:
            self._after_change()

    def close(self) -> None:
        """Begin nothing more; what is in work now waits for the next start."""
        self._closed = True
        self._soon.stop()


def _count(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"
