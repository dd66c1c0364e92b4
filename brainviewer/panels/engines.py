"""Choose an engine, a model and a device; run; watch; stop; go from run to run."""

from __future__ import annotations

import shutil
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QComboBox, QProgressBar, QPushButton, QWidget

import engines
from brainviewer.jobs.detecting import Detecting
from brainviewer.jobs.job import Job, JobState
from brainviewer.panels.model_text import model_summary, model_tip
from brainviewer.panels.parts import column, label, line, row
from brainviewer.panels.run_list import RunList
from brainviewer.panels.status import time_left
from brainviewer.panels.theme import GRID, Theme
from brainviewer.state.session import Session
from brainviewer.storage import models
from brainviewer.storage.settings import Settings
from engines.model_package import Model

DEVICES = {"auto": "Automatic", "cpu": "Processor (CPU)", "cuda": "Graphics card (CUDA)"}


class EnginesPanel(QWidget):
    """Engines on the right of the window.

    Signals:
        add_model_requested: the user wants to add a model folder.
        repeat_requested(Run): a run is to be done again and compared.
    """

    add_model_requested = Signal()
    repeat_requested = Signal(object)

    def __init__(
        self, session: Session, detecting: Detecting, settings: Settings, theme: Theme, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self._detecting, self._settings = session, detecting, settings
        self._models: list[Model] = []
        self._series_uid = ""
        self._make_widgets(theme)
        self._lay_out()
        self._clock = QTimer(self, interval=100)
        self._clock.timeout.connect(self._show_progress)
        self._fill_engines()
        self.reload_models()
        session.series_changed.connect(self._follow_series)
        for changed in (session.volume_changed, session.volume_filled, session.runs_changed, detecting.changed):
            changed.connect(self.refresh)

    def _make_widgets(self, theme: Theme) -> None:
        self._engine = _combo("Engine")
        self._paper = label("", "muted", wrap=True)
        self._model = _combo("Model")
        self._card = label("", "muted", wrap=True)
        self._device = _combo("Device")
        for key, text in DEVICES.items():
            if key != "cuda" or has_nvidia():
                self._device.addItem(text, key)
        self._device.setCurrentIndex(max(0, self._device.findData(self._settings.device)))
        self._run = QPushButton("Run")
        self._run.setProperty("role", "primary")
        self._run.setToolTip("Look for what does not belong in the series in view (Ctrl+R)")
        self._cancel = QPushButton("Cancel")
        self._cancel.setToolTip("Stop the run (Esc)")
        self._progress = QProgressBar()
        self._progress.setTextVisible(False)
        self._doing = label("", "muted", wrap=True)
        self._hint = label("", "muted", wrap=True)
        self._add = QPushButton("Add a model ...")
        self._add.setToolTip("Copy a model, from its model.json or a ZIP file, into your models")
        self._runs = RunList(self._session, theme)
        self._runs.repeat_requested.connect(self.repeat_requested)
        self._engine.currentIndexChanged.connect(self._choose_engine)
        self._model.currentIndexChanged.connect(self._choose_model)
        self._device.currentIndexChanged.connect(self._choose_device)
        self._run_all = QPushButton("Run all")
        self._run_all.setToolTip(
            "Run every engine that has a model for this series, one after the other (Ctrl+Shift+R)"
        )
        self._run.clicked.connect(self.run)
        self._run_all.clicked.connect(self.run_all)
        self._cancel.clicked.connect(self._detecting.cancel_all)
        self._add.clicked.connect(self.add_model_requested)

    def _lay_out(self) -> None:
        self._model_part = QWidget()
        choice = column(label("Model", "caption"), self._model, self._card, spacing=GRID // 2)
        device = column(label("Device", "caption"), self._device, spacing=GRID // 2)
        self._model_part.setLayout(column(choice, device, spacing=GRID + 4))
        self._working = QWidget()
        self._working.setLayout(column(self._progress, self._doing, spacing=GRID // 2))
        engine = column(label("Engine", "caption"), self._engine, self._paper, spacing=GRID // 2)
        self._runs_part = QWidget()
        self._runs_part.setLayout(column(line(), label("Runs on this series", "caption"), self._runs))
        buttons = row(self._run, self._run_all, self._cancel)
        buttons.setStretch(0, 1)
        self.setLayout(
            column(
                engine,
                self._model_part,
                self._hint,
                self._add,
                buttons,
                self._working,
                self._runs_part,
                None,
                margin=GRID + 4,
                spacing=GRID + 4,
            )
        )

    @property
    def engine(self) -> str:
        """Key of the chosen engine, "" where there is none."""
        return self._engine.currentData() or ""

    @property
    def model(self) -> Model | None:
        """The chosen model."""
        model: Model | None = self._model.currentData()
        return model

    @property
    def can_run(self) -> bool:
        """True when engine, model and a complete volume are there."""
        return bool(self.engine) and self.model is not None and self._session.complete and not self._session.damaged

    def run(self) -> Job | None:
        """Run the chosen engine on the series in view."""
        model = self.model
        if model is None or not self.can_run:
            return None
        title = run_title(self._engine.currentText(), model)
        return self._detecting.run(self.engine, title, model, self._device.currentData())

    def fitting_models(self) -> dict[str, Model]:
        """The model of each engine that is made for the series in view: the one used last, else the first."""
        series = self._session.series
        found: dict[str, Model] = {}
        for model in self._models if series is not None else ():
            key, last = model.card.engine, self._settings.model_of.get(model.card.engine, "")
            if key in engines.cards() and _fits(model, series.modality if series is not None else ""):
                found[key] = model if key not in found or str(model.folder) == last else found[key]
        return found

    @property
    def models(self) -> tuple[Model, ...]:
        """Every model at hand, those used last first."""
        last = set(self._settings.model_of.values())
        return tuple(sorted(self._models, key=lambda model: str(model.folder) not in last))

    @property
    def device(self) -> str:
        """Where runs are worked out."""
        return str(self._device.currentData())

    def can_run_all(self) -> bool:
        """True when some engine has a model for the complete series in view."""
        return self._session.complete and not self._session.damaged and bool(self.fitting_models())

    def run_all(self) -> list[Job]:
        """Run every engine that has a model for the series in view, one after the other; one that fails stops none."""
        if not self.can_run_all():
            return []
        cards = engines.cards()
        jobs = [
            self._detecting.run(key, run_title(cards[key].title, model), model, self._device.currentData())
            for key, model in self.fitting_models().items()
        ]
        return [job for job in jobs if job is not None]

    def reload_models(self) -> None:
        """Look again for models on disk."""
        self._models, faults = models.find()
        self._faults = [fault.message for fault in faults]
        self._fill_models()

    def select_engine(self, key: str) -> None:
        """Choose an engine by key."""
        self._engine.setCurrentIndex(self._engine.findData(key))

    def _fill_engines(self) -> None:
        self._engine.blockSignals(True)
        for key, card in engines.cards().items():
            self._engine.addItem(card.title, key)
            self._engine.setItemData(self._engine.count() - 1, card.supervision, Qt.ItemDataRole.ToolTipRole)
        self._engine.setCurrentIndex(max(0, self._engine.findData(self._settings.engine)))
        self._engine.blockSignals(False)

    def _choose_engine(self) -> None:
        self._settings.engine = self.engine
        self._fill_models()

    def _choose_model(self) -> None:
        model = self.model
        if model is not None:
            self._settings.model_of = {**self._settings.model_of, self.engine: str(model.folder)}
        self.refresh()

    def _choose_device(self) -> None:
        self._settings.device = self._device.currentData()

    def _follow_series(self) -> None:
        series = self._session.series
        if series is not None and series.uid != self._series_uid:
            self._series_uid = series.uid
            self._prefer_fitting()
            self._fill_models()
        self.refresh()

    def _prefer_fitting(self) -> None:
        """Go to an engine that can run on this series where the chosen one cannot."""
        fitting = self.fitting_models()
        if fitting and self.engine not in fitting:
            self._engine.blockSignals(True)
            self._engine.setCurrentIndex(self._engine.findData(next(iter(fitting))))
            self._engine.blockSignals(False)

    def _fill_models(self) -> None:
        """List the engine's models, those made for the modality in view first."""
        series = self._session.series
        modality = series.modality if series is not None else ""
        own = [model for model in self._models if model.card.engine == self.engine]
        last = self._settings.model_of.get(self.engine, "")
        own.sort(key=lambda model: (not _fits(model, modality), str(model.folder) != last))
        self._model.blockSignals(True)
        self._model.clear()
        for model in own:
            self._model.addItem(f"{model.card.name} {model.card.version}  ({model.card.modality or 'any'})", model)
            self._model.setItemData(self._model.count() - 1, model_tip(model), Qt.ItemDataRole.ToolTipRole)
        self._model.blockSignals(False)
        self.refresh()

    def refresh(self) -> None:
        """Show what can be done now."""
        card = engines.cards().get(self.engine)
        self._paper.setText(f"{card.dims}. {card.supervision}" if card is not None else "")
        self._paper.setToolTip(card.paper if card is not None else "")
        model = self.model
        self._model_part.setVisible(model is not None)
        self._add.setVisible(model is None and card is not None)
        if model is not None:
            self._card.setText(model_summary(model))
            self._card.setToolTip(model_tip(model))
            self._model.setToolTip(model_tip(model))
        hint = self._advice(model)
        self._hint.setText(hint)
        self._hint.setVisible(bool(hint))
        busy = bool(self._detecting.jobs)
        self._run.setEnabled(self.can_run)
        self._run_all.setVisible(len(self.fitting_models()) > 1)
        self._run_all.setEnabled(self.can_run_all())
        self._run.setText("Run again" if self._ran_before() else "Run")
        self._cancel.setVisible(busy)
        self._working.setVisible(busy)
        self._runs_part.setVisible(bool(self._session.runs))
        if busy and not self._clock.isActive():
            self._clock.start()
        self._show_progress()

    def _ran_before(self) -> bool:
        model = self.model
        return model is not None and any(run.model == str(model.folder) for run in self._session.runs)

    def _advice(self, model: Model | None) -> str:
        series = self._session.series
        if not self.engine:
            return "No engine is installed."
        if model is None:
            fault = f" {self._faults[0]}" if self._faults else ""
            return f"There is no model for this engine yet. Add one, or train one with `brainviewer train`.{fault}"
        if series is None:
            return "Open a study, then press Run."
        if not _fits(model, series.modality):
            return f"This model was made for {model.card.modality} images; this series is {series.modality}."
        if not self._session.complete:
            return "The series is still being read."
        if self._session.damaged:
            return "Some slices of this series cannot be decoded; engines do not run on an incomplete scan."
        if model.card.modality and not series.modality:
            return f"This model was made for {model.card.modality} images; the file does not say what this one is."
        return ""

    def _show_progress(self) -> None:
        jobs = self._detecting.jobs
        if not jobs:
            self._clock.stop()
            return
        job = jobs[0]
        self._progress.setRange(0, job.total if job.done else 0)
        self._progress.setValue(job.done)
        left = job.seconds_left
        starting = "Starting the engine worker" if job.state is JobState.WAITING else job.text
        words = [starting, time_left(left) if left is not None else ""]
        if len(jobs) > 1:
            words.append(f"{len(jobs) - 1} more waiting")
        self._doing.setText("  \u00b7  ".join(word for word in words if word))


def run_title(engine: str, model: Model) -> str:
    """Engine and model in a few words, once each: most models carry the engine's name in theirs."""
    name = f"{model.card.name} {model.card.version}"
    return name if name.casefold().startswith(engine.casefold()) else f"{engine} {name}"


def has_nvidia() -> bool:
    """True where an NVIDIA driver is installed; whether torch can use it shows in the worker."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def _fits(model: Model, modality: str) -> bool:
    return not modality or not model.card.modality or model.card.modality == modality


def _combo(name: str) -> QComboBox:
    combo = QComboBox()
    combo.setAccessibleName(name)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(12)
    return combo
