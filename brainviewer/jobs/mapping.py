"""DICOM parametric maps of healthy percentiles, laid over the series in view like a run; they are not kept."""

from __future__ import annotations

from pathlib import Path

from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.job import Job
from brainviewer.jobs.tasks import Detection
from brainviewer.state.messages import Messages
from brainviewer.state.run import Run
from brainviewer.state.session import Session
from engines import KnownError


class Mapping:
    """Adds maps to the session."""

    def __init__(self, session: Session, messages: Messages, reading: WorkerHost) -> None:
        self._session, self._messages, self._reading = session, messages, reading

    def add(self, path: Path) -> Job | None:
        """Lay a map over the series in view."""
        series, volume = self._session.series, self._session.volume
        if series is None or volume is None:
            self._messages.error(KnownError("There is no series to lay a map over.", "Open the study first."))
            return None
        job = self._reading.submit(
            f"Reading {path.name}", "brainviewer.jobs.delivery:read_map", path, series, volume.slice_axis
        )

        def show(found: Detection) -> None:
            title = found.result.provenance.model
            # An empty model tells that nobody can run it again and that there is nothing to keep.
            self._session.add_run(Run("", title, "", series.uid, found.result, found.percentiles))

        job.finished.connect(show)
        job.failed.connect(self._messages.error)
        return job
