"""The runs made on the series in view: which one is shown, its score, and a button to forget it."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QRadioButton, QSizePolicy, QStyle, QWidget

from brainviewer.panels.parts import IconButton, column, label, row
from brainviewer.panels.theme import Theme
from brainviewer.state.run import Run
from brainviewer.state.session import Session


class RunList(QWidget):
    """One line a run; the marked one is on the views.

    Signals:
        repeat_requested(Run): it is to be done again and compared.
    """

    repeat_requested = Signal(object)

    def __init__(self, session: Session, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._theme = session, theme
        self._lines: list[QWidget] = []
        self._group = QButtonGroup(self)
        self._layout = column(spacing=4)
        self.setLayout(self._layout)
        session.runs_changed.connect(self._refresh)

    def _refresh(self) -> None:
        for widget in self._lines:
            self._layout.removeWidget(widget)
            widget.deleteLater()
        active = self._session.active_run
        self._lines = [self._line(run, run is active) for run in self._session.runs]
        for widget in self._lines:
            self._layout.addWidget(widget)

    def _line(self, run: Run, active: bool) -> QWidget:
        choose = QRadioButton(run.title)
        choose.setChecked(active)
        choose.setToolTip(run_tip(run))
        choose.clicked.connect(lambda: self._session.activate_run(run.key))
        self._group.addButton(choose)
        forget = IconButton(self._theme, "bin", f"Forget this run of {run.title}")
        forget.clicked.connect(lambda: self._session.remove_run(run.key))
        repeat = IconButton(self._theme, "repeat", f"Do this run of {run.title} again and compare with what is kept")
        repeat.clicked.connect(lambda: self.repeat_requested.emit(run))
        score = label(score_text(run), "muted")
        score.setToolTip("Study score as healthy percentile, and the time the run took")
        line = QWidget()
        # A long title is cut, not the buttons; the tip has all of it.
        choose.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        score.setIndent(choose.style().pixelMetric(QStyle.PixelMetric.PM_ExclusiveIndicatorWidth) + 6)
        line.setLayout(column(row(choose, repeat, forget, spacing=4), score, spacing=0))
        return line


def score_text(run: Run) -> str:
    """The study's score among healthy studies, and the seconds."""
    result = run.result
    known = np.isfinite(result.score_percentile)
    score = f"p {result.score_percentile:.1f}" if known else f"score {result.score:.3g}"
    return f"{score}   {result.provenance.seconds:.1f} s"


def run_tip(run: Run) -> str:
    """How the run was made."""
    how = run.result.provenance
    lines = [run.title, f"{how.device}, {how.precision}, {how.seconds:.1f} s", run.model]
    lines += [f"Prepared: {step}" for step in how.preparation] + [f"Note: {text}" for text in how.warnings]
    return "\n".join(lines)
