"""Archives for the window: tested, searched and fetched from in a worker of their own; nothing connects by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.job import Job
from brainviewer.jobs.opening import Opening
from brainviewer.pacs.archive import FoundStudy, Question
from brainviewer.state.messages import Messages

__all__ = ["Archives", "FoundStudy", "Question"]
TASKS = "brainviewer.jobs.archive_tasks:"


class Archives(QObject):
    """Asks saved archives.

    Signals:
        answered(str): a sentence about the last question. found(list): studies (FoundStudy) that fit it.
        fetched(Path): a study has arrived; it is opened, and so joins the library.
    """

    answered = Signal(str)
    found = Signal(object)
    fetched = Signal(object)

    def __init__(self, messages: Messages, opening: Opening, host: WorkerHost) -> None:
        super().__init__()
        self._messages, self._opening, self._host = messages, opening, host
        self._question: Job | None = None

    def echo(self, name: str) -> None:
        """Ask an archive whether it is there."""
        job = self._host.submit("", TASKS + "echo", name)
        job.finished.connect(lambda said: self.answered.emit(said))
        job.failed.connect(self._refused)

    def find(self, name: str, question: Question) -> None:
        """Search an archive; an older search that still runs is dropped."""
        if self._question is not None:
            self._question.cancel()
        job = self._host.submit(f"Searching {name}", TASKS + "find", name, question)
        self._question = job

        def show(studies: list[FoundStudy]) -> None:
            if self._question is job:
                self.found.emit(studies)

        job.finished.connect(show)
        job.failed.connect(self._refused)

    def fetch(self, name: str, studies: Sequence[FoundStudy]) -> None:
        """Fetch studies one after the other, and open each."""
        for study in studies:
            job = self._host.submit(f"Fetching from {name}", TASKS + "fetch", name, study.uid)
            job.finished.connect(self._open)
            job.failed.connect(self._refused)
            job.cancelled.connect(
                lambda: self._messages.note("Fetching was stopped. Fetched again, it goes on from there.")
            )

    def _open(self, folder: Path) -> None:
        self.fetched.emit(folder)
        self._opening.open([folder])

    def _refused(self, error: Exception) -> None:
        self.answered.emit(getattr(error, "message", str(error)))
        self._messages.error(error)
