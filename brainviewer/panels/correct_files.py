"""Corrections in and out of the window: export for others, import from others, agreement of readers, the own name."""

from __future__ import annotations

import math
from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QInputDialog, QLineEdit, QWidget

from brainviewer.jobs.correcting import Correcting
from brainviewer.jobs.correction_exchange import ReaderPair
from brainviewer.jobs.host import WorkerHost
from brainviewer.state.messages import Messages
from brainviewer.state.session import Session
from brainviewer.storage import corrections
from brainviewer.storage.corrections import About
from brainviewer.storage.settings import Settings

TASKS = "brainviewer.jobs.correction_exchange:"
FORMATS = {"NIfTI with slice states (folder)": "nifti", "DICOM segmentation (folder)": "dicom-seg"}
READABLE = "Corrections (*.json *.nii *.nii.gz *.dcm);;All files (*)"


class CorrectFiles:
    """Asks where to, and lets the reading worker do it."""

    def __init__(
        self,
        session: Session,
        correcting: Correcting,
        settings: Settings,
        messages: Messages,
        host: WorkerHost,
        window: QWidget,
    ) -> None:
        self._session, self._correcting, self._settings = session, correcting, settings
        self._messages, self._host, self._window = messages, host, window

    def choose_export(self) -> None:
        """Ask for a format and a folder."""
        text, chosen = QInputDialog.getItem(self._window, "Export corrections", "As", list(FORMATS), 0, False)
        name = QFileDialog.getExistingDirectory(self._window, "Export to") if chosen else ""
        if name:
            self.export(Path(name), FORMATS[text])

    def export(self, out: Path, form: str) -> None:
        """Write the correction in view as NIfTI, or as DICOM segmentation."""
        about, study = self._correcting.about, self._session.study
        if about is None or study is None:
            return
        # Whatever waits must be on disk before the worker reads it.
        at = corrections.folder(about)
        if form == "nifti":
            job = self._host.submit("Exporting corrections", TASKS + "export_nifti", at, out, self._session.volume)
        else:
            job = self._host.submit("Exporting corrections", TASKS + "export_seg", at, study, out)
        job.finished.connect(lambda _files: self._messages.note(f"The corrections are in {out.name}."))
        job.failed.connect(self._messages.error)

    def choose_import(self) -> None:
        """Ask for files of other readers."""
        names, _ = QFileDialog.getOpenFileNames(self._window, "Import corrections", "", READABLE)
        for name in names:
            self.take_in(Path(name))

    def take_in(self, path: Path) -> None:
        """Take in a correction of the series in view."""
        study, series = self._session.study, self._session.series
        if study is None or series is None:
            return
        job = self._host.submit("Importing corrections", TASKS + "take_in", path, study.uid, series)
        job.finished.connect(self._taken)
        job.failed.connect(self._messages.error)

    def _taken(self, about: About) -> None:
        self._messages.note(
            f"The corrections of {about.reader} are in the library.",
            "Correct > Agreement of readers compares them with yours; to go on with them take that reader's name.",
        )
        self._correcting.resume()

    def agree(self) -> None:
        """Tell how far the readers of the series in view agree."""
        series = self._session.series
        if series is None:
            return
        job = self._host.submit("", TASKS + "agree", series.uid)
        job.finished.connect(self._tell)
        job.failed.connect(self._messages.error)

    def _tell(self, pairs: list[ReaderPair]) -> None:
        if not pairs:
            self._messages.note("Only one reader corrected this series.", "Import another reader's corrections.")
        for pair in pairs:
            found = pair.agreement
            numbers = f"Dice {_shown(found.dice)}, kappa {_shown(found.kappa)}, verdicts {_shown(found.verdict_kappa)}"
            self._messages.note(f"{pair.first} and {pair.second} on {len(found.slices)} slices: {numbers}.")

    def choose_reader(self) -> None:
        """Ask who corrects."""
        name, given = QInputDialog.getText(
            self._window, "Reader", "Who corrects masks here", QLineEdit.EchoMode.Normal, self._settings.reader
        )
        if given:
            self.set_reader(name)

    def set_reader(self, name: str) -> None:
        """Another reader sits here: their own corrections come into view."""
        name = " ".join(name.split())[:60]
        if name and name != self._correcting.reader:
            self._settings.reader = name
            self._correcting.close()
            self._correcting.reader = name
            self._correcting.resume()


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"
