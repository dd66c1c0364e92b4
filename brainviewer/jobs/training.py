"""A fine-tuning from this library's corrections: started, followed, paused, cancelled, promoted or discarded."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.job import Job
from brainviewer.jobs.keeping import Keeping
from brainviewer.jobs.training_tasks import Corrected, drop, engines_that_learn
from brainviewer.state.messages import Messages
from brainviewer.storage import corrections, folders
from brainviewer.storage.corrections import About
from engines import KnownError
from engines.model_package import Model

if TYPE_CHECKING:
    from engines.finetuning import Tuned

TASKS = "brainviewer.jobs.training_tasks:"


@dataclass(slots=True)
class Round:
    """One fine-tuning.

    curve: (step, losses by name) as told while it learns, out of `steps`. tuned: how it ended.
    """

    model: Model
    corrected: tuple[Corrected, ...]
    cohort: Path
    out: Path
    seed: int = 0
    curve: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    steps: int = 1
    tuned: Tuned | None = None
    paused: bool = False


class Training(QObject):
    """At most one fine-tuning at a time, in a process of its own, so that looking at scans goes on.

    function: what the worker calls; tests put another one here.

    Signals:
        changed: it began, got on, paused or ended.
        promoted: a new model is among the user's models.
    """

    changed = Signal()
    promoted = Signal()

    def __init__(
        self, keeping: Keeping, messages: Messages, host: WorkerHost, function: str = TASKS + "finetune"
    ) -> None:
        super().__init__()
        self._keeping, self._messages, self._host, self._function = keeping, messages, host, function
        self.round: Round | None = None
        self.job: Job | None = None

    @property
    def learning(self) -> frozenset[str]:
        """Engines that learn from corrections."""
        return engines_that_learn()

    def corrected(self) -> tuple[tuple[About, Path], ...]:
        """This library's corrections whose study is known, with where its scan lies; the newest of each reader."""
        paths = {entry.uid: entry.path for entry in self._keeping.library.studies(most=10_000)}
        found: dict[tuple[str, str], tuple[About, Path]] = {}
        for about in corrections.everything():
            if about.study in paths:
                found.setdefault((about.series, about.reader), (about, paths[about.study]))
        return tuple(found.values())

    def start(self, model: Model, cohort: Path) -> None:
        """Learn from every correction of the library."""
        corrected = tuple(Corrected(corrections.folder(about), path) for about, path in self.corrected())
        if not corrected:
            self._messages.error(KnownError("Nothing was corrected yet.", "Correct some slices first (Ctrl+3)."))
            return
        out = folders.data_dir() / "training" / uuid.uuid4().hex
        self.round = Round(model, corrected, cohort, out)
        self._run(resume=False)

    def go_on(self) -> None:
        """Take a paused fine-tuning up again."""
        if self.round is not None and self.round.paused:
            self.round.paused = False
            self._run(resume=True)

    def _run(self, resume: bool) -> None:
        now = self.round
        if now is None:
            return
        job = self._host.submit(
            "Fine-tuning", self._function, now.model.folder, now.corrected, now.cohort, now.out, now.seed, resume
        )
        self.job = job
        job.progress.connect(self._follow)
        job.finished.connect(self._end)
        job.failed.connect(self._fail)
        job.ended.connect(self._forget)
        self.changed.emit()

    def pause(self) -> None:
        """Stop after the last checkpoint; `go_on` takes it up from there."""
        if self.round is not None and self.job is not None:
            self.round.paused = True
            self.job.cancel()

    def cancel(self) -> None:
        """Stop and forget; the old model was never touched."""
        if self.round is None:
            return
        if self.job is not None:
            self.round.paused = False
            self.job.cancel()
        else:
            self.discard()

    def promote(self, name: str) -> None:
        """Put the new model among the user's models under a name for its folder."""
        now = self.round
        if now is None or now.tuned is None or now.tuned.model is None:
            return
        job = self._host.submit("", TASKS + "promote", now.out, folders.models_dir() / name)
        job.finished.connect(self._promoted)
        job.failed.connect(self._messages.error)

    def discard(self) -> None:
        """Forget the new model, or what a cancelled fine-tuning left."""
        if self.round is not None:
            self._host.submit("", TASKS + "drop", self.round.out)
        self.round = None
        self.changed.emit()

    def finish(self) -> None:
        """The window closes: what is not decided is forgotten, the record of a paused one too."""
        if self.round is not None:
            drop(self.round.out)
            self.round = None

    def _promoted(self, _folder: Path) -> None:
        self.round = None
        self._messages.note("The new model is among your models; the old one is still there.")
        self.promoted.emit()
        self.changed.emit()

    def _follow(self, done: int, total: int, text: str) -> None:
        losses = losses_in(text)
        if self.round is not None and losses:
            self.round.curve.append((done, losses))
            self.round.steps = total
        self.changed.emit()

    def _end(self, tuned: Tuned) -> None:
        if self.round is not None:
            self.round.tuned = tuned

    def _fail(self, error: Exception) -> None:
        self._messages.error(error)
        self.discard()

    def _forget(self) -> None:
        self.job = None
        if self.round is not None and self.round.tuned is None and not self.round.paused:
            self.discard()
        self.changed.emit()


def losses_in(text: str) -> dict[str, float]:
    """The named numbers of a training's progress text ("mask 0.3  points 0.2"); empty for any other text."""
    found = {}
    for part in text.split("  "):
        name, _, number = part.rpartition(" ")
        try:
            found[name] = float(number)
        except ValueError:
            return {}
    return {name: value for name, value in found.items() if name}
