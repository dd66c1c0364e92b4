"""The line at the bottom: where the pointer is, what is there, what the workers do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QLabel, QProgressBar, QStatusBar, QWidget

from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.job import Job, JobState
from brainviewer.panels.parts import IconButton, label
from brainviewer.panels.theme import Theme, tabular
from brainviewer.state.cursor import Cursor
from brainviewer.state.session import Session
from brainviewer.study.orientation import describe, is_oriented


class StatusBar(QStatusBar):
    """Position with letters, voxel, value and healthy percentile under the pointer; jobs; device of the last run."""

    def __init__(
        self,
        session: Session,
        cursor: Cursor,
        hosts: Sequence[WorkerHost],
        theme: Theme,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._cursor, self._hosts = session, cursor, hosts
        self._hovered: NDArray[np.float64] | None = None
        self.setSizeGripEnabled(False)
        self._position = self._field("Position in the patient", 190)
        self._voxel = self._field("Voxel index (i j k)", 140)
        self._value = self._field("Value of the voxel", 110)
        self._percentile = self._field("Healthy percentile of the voxel in the heatmap shown", 120)
        self._job = label("", "muted")
        self._progress = QProgressBar()
        self._progress.setFixedWidth(120)
        self._progress.setTextVisible(False)
        self._cancel = IconButton(theme, "close", "Stop this work (Esc)")
        self._cancel.clicked.connect(self.cancel)
        self._device = label("", "muted")
        self._device.setToolTip("Where the last run was computed")
        self._device.setContentsMargins(8, 0, 8, 0)
        for widget in (self._job, self._progress, self._cancel, self._device):
            self.addPermanentWidget(widget)
        self._clock = QTimer(self, interval=100)
        self._clock.timeout.connect(self._show_jobs)
        for host in hosts:
            host.changed.connect(self._show_jobs)
        for changed in (cursor.moved, session.volume_changed, session.volume_filled, session.runs_changed):
            changed.connect(self.refresh)
        self.refresh()
        self._show_jobs()

    def _field(self, tip: str, width: int) -> QLabel:
        field = label("")
        field.setFont(tabular(field.font()))
        field.setMinimumWidth(width)
        field.setToolTip(tip)
        field.setAccessibleName(tip)
        field.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)
        field.setContentsMargins(8, 0, 8, 0)
        self.addWidget(field)
        return field

    def hover(self, position_mm: NDArray[np.float64] | None) -> None:
        """Tell about the voxel under the pointer; None goes back to the crosshair."""
        self._hovered = position_mm
        self.refresh()

    def refresh(self) -> None:
        """Write the numbers anew."""
        volume = self._session.volume
        if volume is None:
            for field in (self._position, self._voxel, self._value, self._percentile):
                field.clear()
            self._show_device()
            return
        position = self._hovered if self._hovered is not None else self._cursor.position_mm
        index = np.linalg.solve(volume.affine[:3, :3], position - volume.affine[:3, 3])
        i, j, k = (int(n) for n in np.floor(index + 0.5))
        inside = all(0 <= n < size for n, size in zip((i, j, k), volume.shape, strict=True))
        self._position.setText(f"{describe(position)} mm" if is_oriented(volume) else "")
        self._voxel.setText(f"voxel {i} {j} {k}" if inside else "outside")
        value = volume.voxels[i, j, k] if inside else np.nan
        self._value.setText(f"value {_number(value)}" if inside else "")
        run = self._session.active_run
        if run is None or not inside:
            self._percentile.clear()
        elif run.result.region[i, j, k]:
            self._percentile.setText(f"healthy p {run.percentiles[i, j, k]:.1f}")
        else:
            self._percentile.setText("not scored")
        self._show_device()

    def _show_device(self) -> None:
        run = self._session.active_run
        self._device.setText(run.result.provenance.device if run is not None else "")

    def _working(self) -> list[Job]:
        return [job for host in self._hosts for job in host.jobs if job.title and job.active]

    def _show_jobs(self) -> None:
        jobs = self._working()
        running = [job for job in jobs if job.state is JobState.RUNNING] or jobs
        for widget in (self._job, self._progress, self._cancel):
            widget.setVisible(bool(jobs))
        if not jobs:
            self._clock.stop()
            return
        if not self._clock.isActive():
            self._clock.start()
        job = running[0]
        more = f"  (+{len(jobs) - 1} more)" if len(jobs) > 1 else ""
        self._job.setText(self.fontMetrics().elidedText(describe_job(job), Qt.TextElideMode.ElideRight, 360) + more)
        self._progress.setRange(0, job.total if job.done else 0)
        self._progress.setValue(job.done)

    def cancel(self) -> bool:
        """Stop the work shown; False when there was none."""
        jobs = self._working()
        for job in jobs[:1]:
            job.cancel()
        return bool(jobs)


def describe_job(job: Job) -> str:
    """What a job does and how long it still takes."""
    left = job.seconds_left
    parts = [job.title, job.text, time_left(left) if left is not None else ""]
    return "  \u00b7  ".join(part for part in parts if part)


def time_left(seconds: float) -> str:
    """A remaining time in words that do not jump about."""
    if seconds < 1.5:
        return "nearly done"
    if seconds < 90:
        return f"{seconds:.0f} s left"
    return f"{seconds / 60:.0f} min left"


def _number(value: object) -> str:
    values = np.atleast_1d(np.asarray(value, dtype=np.float64))
    return " ".join(f"{number:.4g}" for number in values)
