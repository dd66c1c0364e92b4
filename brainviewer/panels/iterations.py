"""How a mask shrank to a threshold: every mask of the run in view, the curve behind the threshold, another gamma."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QCheckBox, QPushButton, QSlider, QWidget

from brainviewer.jobs.detecting import Detecting
from brainviewer.jobs.job import Job
from brainviewer.panels.parts import column, label, row
from brainviewer.panels.theme import GRID, tabular
from brainviewer.panels.viewport import Viewport
from brainviewer.state.masks import Masks
from brainviewer.state.run import Run
from brainviewer.state.session import Session
from engines.result import ITERATION_MASKS, ITERATION_SHARES, THRESHOLD_CURVE, THRESHOLD_SLOPES

if TYPE_CHECKING:
    from brainviewer.plots.threshold_curve import ThresholdPlot

MASK, COLOUR = "iteration", "#80deea"
GAMMA_STEPS = 200  # of the slider, evenly on a logarithmic scale
NEEDED = (THRESHOLD_CURVE, THRESHOLD_SLOPES, ITERATION_MASKS, ITERATION_SHARES)


@dataclass(frozen=True, slots=True, eq=False)
class Iterations:
    """What a run tells of its shrinking: curve and slopes (100,), bits uint32 (i, j, k), shares (masks,), gamma."""

    run: Run
    curve: NDArray[np.float64]
    slopes: NDArray[np.float64]
    bits: NDArray[np.uint32]
    shares: NDArray[np.float64]
    gamma: float

    @classmethod
    def of(cls, run: Run | None) -> Iterations | None:
        """None where the run's engine does not shrink masks."""
        extras = run.result.extras if run is not None else {}
        if run is None or not all(name in extras for name in NEEDED):
            return None
        gamma = float(run.result.provenance.settings.get("gamma", 0))
        curve, slopes, bits, shares = (np.asarray(extras[name]) for name in NEEDED)
        known = np.isfinite(slopes) & (slopes > 0)
        if gamma <= 0 or not known.any() or bits.dtype != np.uint32 or bits.shape != run.percentiles.shape:
            return None
        return cls(run, curve, slopes, bits, shares, gamma)

    def step(self, gamma: float) -> int | None:
        """The percentile (1..100) where the slope first exceeds gamma; None where it never does, or is not known."""
        above = np.flatnonzero(self.slopes > gamma)
        found = int(above[0]) + 1 if len(above) else None
        return found if found is not None and math.isfinite(self.curve[found - 1]) else None

    def range(self) -> tuple[float, float]:
        """The gammas that make a difference."""
        known = self.slopes[np.isfinite(self.slopes) & (self.slopes > 0)]
        return min(float(known.min()), self.gamma), max(float(known.max()), self.gamma * 1.01)

    def mask(self, number: int) -> NDArray[np.uint8]:
        """One of the masks, 0 or 1."""
        covered: NDArray[np.uint8] = np.not_equal(self.bits & np.uint32(1 << number), 0).view(np.uint8)
        return covered


class IterationsPanel(QWidget):
    """A slider through the shrinking masks, the threshold curve, and gamma.

    Signals:
        offered(bool): the run in view has iterations, or has none any more.
    """

    offered = Signal(bool)

    def __init__(
        self, session: Session, detecting: Detecting, viewport: Viewport, masks: Masks, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self._detecting, self._viewport = session, detecting, viewport
        self._found: Iterations | None = None
        self._job: Job | None = None
        self._plot: ThresholdPlot | None = None
        self._make_widgets()
        self._lay_out()
        # Slider moves come faster than pictures: only the last one of a turn is drawn.
        self._draw_soon = QTimer(self, singleShot=True, interval=0)
        self._draw_soon.timeout.connect(self._draw)
        session.runs_changed.connect(self._follow)
        masks.changed.connect(self._draw_soon.start)
        detecting.changed.connect(self._refresh)
        self._follow()

    def _make_widgets(self) -> None:
        self._nothing = label("The run in view has no iterations.", "muted", wrap=True)
        self._show = QCheckBox("Draw the mask")
        self._show.setToolTip("Lay the mask of the chosen iteration over the images")
        self._show.toggled.connect(self._refresh_mask)
        self._iteration = _slider("Iteration: from the whole brain to the final mask")
        self._iteration.valueChanged.connect(self._refresh_mask)
        self._iteration.sliderMoved.connect(lambda: self._show.setChecked(True))
        self._iteration.actionTriggered.connect(lambda: self._show.setChecked(True))
        self._iteration_text = label("", "muted")
        self._iteration_text.setFont(tabular(self._iteration_text.font()))
        self._gamma = _slider("Gamma: the slope above which the error counts as abnormal")
        self._gamma.setRange(0, GAMMA_STEPS)
        self._gamma.valueChanged.connect(self._refresh)
        self._gamma_text = label("", "muted", wrap=True)
        self._gamma_text.setFont(tabular(self._gamma_text.font()))
        self._again = QPushButton("Shrink anew")
        self._again.setToolTip("Shrink the mask with this gamma; the curve need not be made again. Replaces this run.")
        self._again.clicked.connect(self.rethreshold)

    def _lay_out(self) -> None:
        self._controls = QWidget()
        self._plot_place = column()
        self._controls.setLayout(
            column(
                row(self._show, None, self._iteration_text),
                self._iteration,
                self._plot_place,
                row(label("Gamma"), None, self._again),
                self._gamma,
                self._gamma_text,
            )
        )
        self.setLayout(column(self._nothing, self._controls, None, margin=GRID + 4))

    # What is shown

    def _follow(self) -> None:
        run = self._session.active_run
        if self._found is None or run is not self._found.run:
            had, self._found = self._found, Iterations.of(run)
            if self._found is not None:
                self._take(self._found)
            if (had is None) != (self._found is None):
                self.offered.emit(self._found is not None)
        self._nothing.setVisible(self._found is None)
        self._controls.setVisible(self._found is not None)
        self._refresh_mask()
        self._refresh()

    def _take(self, found: Iterations) -> None:
        if self._plot is None:
            # pyqtgraph is loaded when it is first needed.
            from brainviewer.plots.threshold_curve import ThresholdPlot

            self._plot = ThresholdPlot()
            self._plot_place.addWidget(self._plot)
        last = len(found.shares) - 1
        self._iteration.setRange(0, last)
        self._iteration.setValue(last)
        self._set_gamma(found.gamma)

    @property
    def gamma(self) -> float:
        """The gamma that the slider proposes."""
        if self._found is None:
            return 0.0
        low, high = self._found.range()
        at = self._gamma.value()
        # The slider's own steps would hardly ever hit the gamma in use.
        if at == self._place(self._found.gamma):
            return self._found.gamma
        return float(low * (high / low) ** (at / GAMMA_STEPS))

    def _set_gamma(self, gamma: float) -> None:
        self._gamma.setValue(self._place(gamma))

    def _place(self, gamma: float) -> int:
        assert self._found is not None
        low, high = self._found.range()
        return round(GAMMA_STEPS * math.log(gamma / low) / math.log(high / low))

    def _refresh_mask(self) -> None:
        found = self._found
        if found is not None:
            number, last = self._iteration.value(), len(found.shares) - 1
            name = "whole brain" if number == 0 else f"iteration {number} of {last}"
            self._iteration_text.setText(f"{name}: {100 * found.shares[number]:.1f} %")
        self._draw_soon.start()

    def _draw(self) -> None:
        found, volume = self._found, self._session.volume
        wanted = found is not None and self._show.isChecked() and volume is not None
        if found is not None and wanted and volume is not None and found.bits.shape == volume.shape:
            self._viewport.view.set_mask(MASK, found.mask(self._iteration.value()), COLOUR)
        elif volume is not None:
            self._viewport.view.set_mask(MASK, None)

    def _refresh(self) -> None:
        """Curve, marks and words of the gamma that is proposed."""
        found = self._found
        if found is None or self._plot is None:
            return
        gamma, working = self.gamma, self._job is not None and self._job.active
        step = found.step(gamma)
        self._plot.show_curve(found.curve, found.step(found.gamma), step)
        told = f"{gamma:.3g}{' (in use)' if gamma == found.gamma else ''}: "
        if step is None:
            told += "the curve never rises that fast; next to nothing stays masked"
        else:
            told += f"threshold {found.curve[step - 1]:.3g} at percentile {step}"
        self._gamma_text.setText("Shrinking ..." if working else told)
        self._again.setEnabled(not working and gamma != found.gamma and self._session.complete)

    def rethreshold(self) -> Job | None:
        """Ask for the run anew with the proposed gamma."""
        if self._found is None:
            return None
        self._job = self._detecting.rethreshold(self._found.run, self.gamma)
        self._refresh()
        return self._job


def _slider(tip: str) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setToolTip(tip)
    slider.setAccessibleName(tip.split(":")[0])
    return slider
