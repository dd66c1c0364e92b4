"""Runs against a drawn truth and against each other, worked out while somebody looks at the figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QObject, QTimer, Signal

from brainviewer.jobs.aligning import Aligning
from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.job import Job
from brainviewer.jobs.tasks import Measured
from brainviewer.state import Display
from brainviewer.state.masks import Masks
from brainviewer.state.messages import Messages
from brainviewer.state.run import Run
from brainviewer.state.session import Session
from engines import Volume

if TYPE_CHECKING:
    from engines.curves import Dots

# The slider of the threshold is followed when it rests.
REST_MS = 250


class Measuring(QObject):
    """Figures of the runs in view; nothing is worked out until `watch(True)`.

    Signals:
        changed: other figures, or work on them began.
    """

    changed = Signal()

    def __init__(
        self,
        session: Session,
        display: Display,
        masks: Masks,
        messages: Messages,
        host: WorkerHost,
        aligning: Aligning,
    ) -> None:
        super().__init__()
        self._session, self._display, self._masks = session, display, masks
        self._messages, self._host, self._aligning = messages, host, aligning
        self._watched = False
        self._asked: object = None
        self._jobs: list[Job] = []
        self.runs: tuple[Run, ...] = ()
        self.measured: list[Measured] = []
        self.dots: dict[tuple[int, int], Dots] = {}
        self._soon = QTimer(self, singleShot=True, interval=REST_MS)
        self._soon.timeout.connect(self._ask)
        aligning.changed.connect(self._begin)
        masks.changed.connect(self._begin)
        session.volume_changed.connect(self._begin)
        display.changed.connect(lambda name: self._begin() if name == "threshold" else None)

    @property
    def working(self) -> bool:
        """True while figures are on their way."""
        return bool(self._jobs)

    def watch(self, wanted: bool) -> None:
        """Somebody looks at the figures, or no longer."""
        self._watched = wanted
        self._begin()

    def _begin(self) -> None:
        if self._watched:
            self._soon.start()

    def _ask(self) -> None:
        volume, truth = self._session.volume, self._masks.truth
        runs = tuple(run for run in self._aligning.runs if volume and run.percentiles.shape == volume.shape)
        asked = tuple(run.key for run in runs), volume and volume.uid, truth and id(truth), self._display.threshold
        if asked == self._asked:
            return
        for job in self._jobs:
            job.cancel()
        self._asked, self._jobs = asked, []
        self.runs, self.measured, self.dots = runs, [], {}
        if volume is not None and runs:
            maps = [run.percentiles for run in runs], [run.result.region for run in runs]
            if truth is not None:
                self._submit(
                    "measured", "measure", *maps, self._slice_scores(runs, volume), volume.slice_axis, truth.voxels,
                    tuple(float(mm) for mm in volume.spacing_mm), self._display.threshold,
                )  # fmt: skip
            if len(runs) > 1:
                self._submit("dots", "agreement_dots", *maps)
        self.changed.emit()

    def _slice_scores(self, runs: tuple[Run, ...], volume: Volume) -> list[object]:
        """NaN for runs on a sister series: its slices are others."""
        nothing = np.full(volume.shape[volume.slice_axis], np.nan, np.float32)
        same = [run.result.slice_axis == volume.slice_axis and run.series_uid == volume.uid for run in runs]
        return [run.result.slice_scores if own else nothing for run, own in zip(runs, same, strict=True)]

    def _submit(self, name: str, task: str, *arguments: object) -> None:
        job = self._host.submit("", f"brainviewer.jobs.tasks:{task}", *arguments)
        self._jobs.append(job)

        def put(found: object) -> None:
            if job in self._jobs:
                setattr(self, name, found)

        job.finished.connect(put)
        job.failed.connect(self._messages.error)
        job.ended.connect(lambda: self._end(job))

    def _end(self, job: Job) -> None:
        if job in self._jobs:
            self._jobs.remove(job)
            self.changed.emit()
