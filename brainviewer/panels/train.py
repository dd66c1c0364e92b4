"""The Train workspace: a model learns from the corrections, is compared with the old one, and promoted or discarded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QComboBox, QFileDialog, QProgressBar, QPushButton, QVBoxLayout, QWidget

from brainviewer.jobs.training import Training
from brainviewer.panels.model_tree import ModelTree
from brainviewer.panels.parts import column, label, line, row
from brainviewer.panels.status import time_left
from brainviewer.panels.theme import GRID, tabular
from brainviewer.panels.tuned import TunedView
from brainviewer.storage import models
from brainviewer.storage.settings import Settings
from engines.model_package import Model

if TYPE_CHECKING:
    from brainviewer.plots.training_curve import TrainingCurve

HINT = (
    "A model learns from the slices you corrected, confirmed or called healthy. A part of them is kept apart: only if "
    "the new model is better there, keeps what it knew and marks no more in healthy slices, it can be promoted."
)
NOTHING = "Nothing was corrected yet. Correct the masks of some studies first (Ctrl+3)."
NO_MODEL = "No model at hand learns from corrections: train or add a RASALoRE model."


class TrainView(QWidget):
    """Choose, start, follow, judge.

    Signals:
        promoted: there is a new model.
    """

    promoted = Signal()

    def __init__(self, training: Training, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._training, self._settings = training, settings
        self._models: list[Model] = []
        self._curve: TrainingCurve | None = None
        self._choice, self._cohort = QComboBox(), QPushButton("Choose ...")
        self._told, self._cohort_text = label("", "muted", wrap=True), label("", "muted")
        self._start, self._pause, self._cancel = QPushButton("Start"), QPushButton("Pause"), QPushButton("Cancel")
        self._bar, self._state = QProgressBar(), label("", "muted")
        self.result = TunedView()
        self.tree = ModelTree()
        self._plot_room = QVBoxLayout()
        self._lay_out()
        self._soon = QTimer(self, singleShot=True, interval=150)
        self._soon.timeout.connect(self.refresh)
        training.changed.connect(lambda: self._soon.isActive() or self._soon.start())
        training.promoted.connect(self._promoted)

    def _lay_out(self) -> None:
        self._start.setProperty("role", "primary")
        self._bar.setTextVisible(False)
        self._choice.setAccessibleName("Model that learns")
        self._cohort.setToolTip(
            "CSV file of the cohort the model was trained on: slices nobody corrected, healthy ones"
        )
        self._state.setFont(tabular(self._state.font()))
        self._start.clicked.connect(self.start)
        self._pause.clicked.connect(self._pause_or_go_on)
        self._cancel.clicked.connect(self._training.cancel)
        self._cohort.clicked.connect(self._choose_cohort)
        self.result.promote.clicked.connect(self._promote)
        self.result.discard.clicked.connect(self._training.discard)
        buttons = row(self._start, self._pause, self._cancel, self._state, None)
        head = column(label("Fine-tune a model", "title"), label(HINT, "muted", wrap=True))
        model = column(label("Model", "caption"), self._choice)
        cohort = column(label("Cohort", "caption"), row(self._cohort_text, None, self._cohort))
        versions = label("Versions", "caption")
        left = column(head, model, cohort, self._told, buttons, self._bar, line(), versions, self.tree, spacing=GRID)
        left.setStretchFactor(self.tree, 1)
        right = column(spacing=GRID)
        right.addLayout(self._plot_room, 1)
        right.addWidget(self.result, 2)
        both = row(left, right, margin=GRID * 2, spacing=GRID * 3)
        both.setStretch(0, 2)
        both.setStretch(1, 3)
        self.setLayout(both)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: D102, N802
        super().showEvent(event)
        if self._curve is None:
            # pyqtgraph takes a third of the start; here it has been loaded long ago.
            from brainviewer.plots.training_curve import TrainingCurve

            self._curve = TrainingCurve()
            self._plot_room.addWidget(self._curve)
        self.reload()

    def reload(self) -> None:
        """Look for models and corrections again."""
        found, _ = models.find()
        learning = self._training.learning
        self._models = [model for model in found if model.card.engine in learning]
        chosen = self._choice.currentText()
        self._choice.clear()
        for model in self._models:
            self._choice.addItem(f"{model.card.name} {model.card.version}")
        self._choice.setCurrentIndex(max(0, self._choice.findText(chosen)))
        self.tree.show_models(found)
        self.refresh()

    # What the user does

    def start(self) -> None:
        """Learn from all corrections of the library."""
        cohort = Path(self._settings.cohort)
        if self._models and cohort.is_file():
            self._training.start(self._models[self._choice.currentIndex()], cohort)

    def _pause_or_go_on(self) -> None:
        now = self._training.round
        if now is not None and now.paused:
            self._training.go_on()
        else:
            self._training.pause()

    def _choose_cohort(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Cohort", self._settings.cohort, "Cohorts (*.csv)")
        if name:
            self._settings.cohort = name
            self.refresh()

    def _promote(self) -> None:
        now = self._training.round
        if now is None or now.tuned is None:
            return
        stem = re.sub(r"[^a-z0-9]+", "-", now.model.card.name.lower()).strip("-")
        self._training.promote(f"{stem}-{now.out.name[:6]}")

    def _promoted(self) -> None:
        self.reload()
        self.promoted.emit()

    # Keeping it up

    def refresh(self) -> None:
        """Show where the training is."""
        if not self.isVisible():
            return
        training, now, job = self._training, self._training.round, self._training.job
        cohort = Path(self._settings.cohort)
        self._cohort_text.setText(cohort.name if self._settings.cohort else "none chosen")
        corrected = len(training.corrected()) if now is None else len(now.corrected)
        ready = bool(self._models) and bool(corrected) and cohort.is_file()
        readers = f"{corrected} corrected series in the library." if corrected else NOTHING
        self._told.setText(NO_MODEL if not self._models else readers)
        self._start.setEnabled(ready and now is None)
        self._choice.setEnabled(now is None)
        running = job is not None
        paused = now is not None and now.paused and not running
        self._pause.setText("Go on" if paused else "Pause")
        self._pause.setEnabled(running or paused)
        self._cancel.setEnabled(running or paused)
        self._bar.setVisible(running or paused)
        self._bar.setMaximum(max(job.total, 1) if job is not None else 1)
        self._bar.setValue(job.done if job is not None else 0)
        self._state.setText(self._said(paused))
        if self._curve is not None:
            self._curve.show_curve(now.curve if now is not None else (), now.steps if now is not None else 1)
        self.result.show_result(now.tuned if now is not None else None)

    def _said(self, paused: bool) -> str:
        job = self._training.job
        if paused:
            return "Paused"
        if job is None:
            return ""
        left = job.seconds_left
        return f"{job.done} of {job.total}" + (f", {time_left(left)}" if left is not None else "")
