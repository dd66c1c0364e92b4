"""From the window to files: previews, reports and exports are asked of the reading worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from brainviewer.jobs.delivery import Paper, Wish
from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.job import Job
from brainviewer.state import Display
from brainviewer.state.messages import Messages
from brainviewer.state.session import Session

DELIVERY = "brainviewer.jobs.delivery:"
PREVIEW_DPI = 110


class Delivering(QObject):
    """Reports and exports of the study in view.

    Signals:
        previewed(list): the report's pages, uint8 (rows, columns, 3). failed: there is no preview now.
    """

    previewed = Signal(object)
    failed = Signal()

    def __init__(self, session: Session, display: Display, messages: Messages, reading: WorkerHost) -> None:
        super().__init__()
        self._session, self._display, self._messages, self._reading = session, display, messages, reading
        self._preview: Job | None = None

    def wish(self) -> Wish | None:
        """All runs of the study in view at the threshold in use; None where there is none."""
        # Maps that were only read have no model and are not kept.
        study, runs = self._session.study, [run for run in self._session.study_runs if run.model]
        if study is None or not runs:
            return None
        return Wish(study, tuple(run.key for run in runs), self._display.threshold)

    def preview(self, impression: str, notes: str, identifiers: bool, paper: Paper) -> None:
        """Ask for the pages; an older question that is still open is dropped."""
        if self._preview is not None:
            self._preview.cancel()
        wish = self.wish()
        if wish is None:
            return
        wish = replace(wish, impression=impression, notes=notes, identifiers=identifiers, paper=paper)
        job = self._reading.submit("Laying out the report", DELIVERY + "preview", wish, PREVIEW_DPI)
        self._preview = job

        def show(pages: list[NDArray[np.uint8]]) -> None:
            if self._preview is job:
                self.previewed.emit(pages)

        def fail(error: Exception) -> None:
            if self._preview is job:
                self._messages.error(error)
                self.failed.emit()

        job.finished.connect(show)
        job.failed.connect(fail)

    def save(self, path: Path, impression: str, notes: str, identifiers: bool, paper: Paper) -> None:
        """Write the report."""
        wish = self.wish()
        if wish is None:
            return
        wish = replace(wish, impression=impression, notes=notes, identifiers=identifiers, paper=paper)
        job = self._reading.submit("Saving the report", DELIVERY + "save_report", wish, path)
        job.finished.connect(lambda _path: self._messages.note(f"The report is saved as {path.name}."))
        job.failed.connect(self._messages.error)

    def export(self, formats: Sequence[str], out: Path, deidentify: bool, archive: str = "") -> None:
        """Write all runs in these formats, and send the DICOM objects where an archive is named."""
        wish = self.wish()
        if wish is None:
            return
        job = self._reading.submit("Exporting", DELIVERY + "export_runs", wish, tuple(formats), out, deidentify)

        def told(result: tuple[list[Path], list[str]]) -> None:
            files, warnings = result
            for warning in warnings:
                self._messages.warn(warning)
            self._messages.note(f"{len(files)} files are in {out.name or out}.")
            if archive:
                self.send(files, archive)

        job.finished.connect(told)
        job.failed.connect(self._messages.error)
        job.cancelled.connect(lambda: self._messages.note("The export was stopped; nothing was left half written."))

    def send(self, files: Sequence[Path], archive: str) -> None:
        """Send DICOM files to a saved archive; stopped or failed, it goes on when sent again."""
        job = self._reading.submit(f"Sending to {archive}", DELIVERY + "send", tuple(files), archive)
        job.finished.connect(self._messages.note)
        job.failed.connect(self._messages.error)
        job.cancelled.connect(lambda: self._messages.note("Sending was stopped. Sent again, it goes on from there."))
