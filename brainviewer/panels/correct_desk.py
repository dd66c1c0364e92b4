"""What a reader can do in the Correct workspace, for buttons and keys alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from brainviewer.jobs.aligning import Aligning
from brainviewer.jobs.correcting import Correcting, Spot
from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.keeping import Keeping
from brainviewer.jobs.opening import Opening
from brainviewer.panels.correct_files import CorrectFiles
from brainviewer.panels.scores import ScoresPanel
from brainviewer.panels.viewport import Viewport
from brainviewer.state import Cursor, Display, Tool
from brainviewer.state.messages import Messages
from brainviewer.state.run import Run
from brainviewer.state.session import Session
from brainviewer.state.tool import GUIDES, Paint
from brainviewer.study.correction import Correction
from brainviewer.study.mask_edit import Edit, SliceState
from brainviewer.study.uncertainty import next_slice

CORRECTED_COLOUR, AUTOMATIC_COLOUR = "#4fc3f7", "#ffb74d"
SIZE_STEP = 1.25
TASKS = "brainviewer.jobs.correction_tasks:"


class CorrectDesk(QObject):
    """Joins the correction with views, strip and cursor while the workspace is on show.

    Signals:
        changed: what can be done, or what is to be told, is another.
        moved: another slice is in view.
    """

    changed = Signal()
    moved = Signal()

    def __init__(
        self,
        session: Session,
        cursor: Cursor,
        display: Display,
        tool: Tool,
        messages: Messages,
        correcting: Correcting,
        aligning: Aligning,
        opening: Opening,
        keeping: Keeping,
        viewport: Viewport,
        strip: ScoresPanel,
        host: WorkerHost,
        files: CorrectFiles,
    ) -> None:
        super().__init__()
        self._session, self._cursor, self._display, self._tool = session, cursor, display, tool
        self._messages, self._aligning, self._opening, self._keeping = messages, aligning, opening, keeping
        self._viewport, self._strip, self._host = viewport, strip, host
        self.correcting, self.files = correcting, files
        self.active = False
        self._uncertainty: tuple[object, NDArray[np.float32]] | None = None
        correcting.opened.connect(self._show)
        correcting.painted.connect(viewport.view.touch)
        correcting.stepped.connect(self._show_states)
        correcting.changed.connect(self.changed)
        for arrived in (session.volume_changed, session.volume_filled):
            arrived.connect(self._follow)
        cursor.moved.connect(self.moved)
        for other in (session.runs_changed, tool.changed):
            other.connect(self.changed)
        correcting.heatmap = self._heatmap

    # Coming and going

    def set_active(self, active: bool) -> None:
        """The workspace is on show, or no longer."""
        if active == self.active:
            return
        self.active = active
        if not active:
            self._tool.paint = ""
            self.correcting.drop_stroke()
        self._follow()

    def tell_interrupted(self) -> None:
        """After the start: say which corrections a crash interrupted."""
        job = self._host.submit("", TASKS + "interrupted", self.correcting.reader)
        job.finished.connect(self._tell_interrupted)

    def _tell_interrupted(self, found: list[tuple[str, float]]) -> None:
        if not found:
            return
        titles = {entry.uid: entry.title for entry in self._keeping.library.studies(most=10_000)}
        for study, at in found[:1]:
            more = f" and of {len(found) - 1} more studies" if len(found) > 1 else ""
            self._messages.warn(
                f"Corrections of {titles.get(study, 'a study')}{more} were interrupted on "
                f"{datetime.fromtimestamp(at):%Y-%m-%d at %H:%M}; nothing is lost.",
                "Open the study and choose Correct to go on.",
            )

    def _follow(self) -> None:
        if self.active and self._session.complete:
            self.correcting.resume()
        self._show()

    def _show(self) -> None:
        """Lay the masks over the views, or take them away."""
        view, correction = self._viewport.view, self.correction
        volume = self._session.volume
        if self.active and correction is not None and volume is not None and volume.shape == correction.mask.shape:
            view.set_mask("automatic", correction.automatic, AUTOMATIC_COLOUR, filled=False)
            view.correct(correction.mask, CORRECTED_COLOUR, self.correcting)
        else:
            view.set_mask("automatic", None)
            view.correct(None, CORRECTED_COLOUR, None)
        self._show_states()

    def _show_states(self) -> None:
        correction = self.correction
        self._strip.show_states(correction.states if self.active and correction is not None else None)
        self.changed.emit()

    # What is there

    @property
    def correction(self) -> Correction | None:
        """The correction of the series in view."""
        return self.correcting.correction

    @property
    def ready(self) -> bool:
        """True when the mask can be changed."""
        return self.active and self.correcting.ready

    @property
    def runs(self) -> tuple[Run, ...]:
        """Runs whose mask can be corrected on the series in view."""
        volume = self._session.volume
        if volume is None or not self._session.complete or volume.is_picture and volume.voxels.ndim != 3:
            return ()
        return tuple(run for run in self._aligning.runs if run.percentiles.shape == volume.shape)

    def _heatmap(self) -> NDArray[np.float32] | None:
        """What holds the brush back, on the grid in view: the heatmap in view, else the one it began with."""
        runs, active, about = self.runs, self._session.active_run, self.correcting.about
        keys = [active.key if active is not None else "", about.run if about is not None else ""]
        found = next((run for key in keys for run in runs if run.key == key), runs[-1] if runs else None)
        return found.percentiles if found is not None else None

    @property
    def voxel(self) -> tuple[int, int, int]:
        """The voxel under the crosshair."""
        volume = self._session.volume
        if volume is None:
            return 0, 0, 0
        at = np.linalg.solve(volume.affine[:3, :3], self._cursor.position_mm - volume.affine[:3, 3])
        i, j, k = np.clip(np.floor(at + 0.5), 0, np.array(volume.shape) - 1).astype(int).tolist()
        return i, j, k

    @property
    def index(self) -> int:
        """The slice under the crosshair, along the axis that states count along."""
        return self.voxel[self.correction.slice_axis] if self.correction is not None else 0

    @property
    def state(self) -> SliceState:
        """What was said about that slice."""
        return self.correction.state(self.index) if self.correction is not None else SliceState.AUTO

    def relevant(self) -> NDArray[np.bool_]:
        """Slices that a run scored, or that hold something: bool (slices,)."""
        correction = self.correction
        if correction is None:
            return np.zeros(0, np.bool_)
        found = correction.states != SliceState.AUTO
        for run in self.runs:
            if run.result.slice_percentiles.size == found.size and run.result.slice_axis == correction.slice_axis:
                found |= np.isfinite(run.result.slice_percentiles)
        return found if found.any() else np.ones(found.size, np.bool_)

    # The brush

    def hold(self, paint: Paint) -> None:
        """Take a brush, or put it down when it is held already."""
        self._tool.paint = "" if self._tool.paint == paint else paint

    def resize(self, larger: bool) -> None:
        """A larger or smaller brush."""
        self._tool.radius_mm *= SIZE_STEP if larger else 1 / SIZE_STEP

    def next_guide(self) -> None:
        """Heatmap, intensity, none."""
        self._tool.guide = GUIDES[(GUIDES.index(self._tool.guide) + 1) % len(GUIDES)]

    # Steps

    def begin(self, run: Run | None = None) -> None:
        """Correct the mask of a run (the one in view) at the present threshold."""
        runs = self.runs
        active = self._session.active_run
        chosen = run or next((one for one in runs if active is not None and one.key == active.key), None)
        if chosen is None and runs:
            chosen = runs[-1]
        if chosen is not None:
            self.correcting.begin(chosen)

    def say(self, verdict: str) -> None:
        """accept, confirm, reject or reopen the slice in view."""
        correction = self.correction
        if self.ready and correction is not None:
            step: Callable[[int], Edit | None] = getattr(correction, verdict)
            self.correcting.take(step(self.index))

    def copy(self, step: int) -> None:
        """Copy the slice's mask to the next slice (1) or the one before (-1), and go there."""
        correction, target = self.correction, self.index + step
        if self.ready and correction is not None and 0 <= target < len(correction.states):
            self.correcting.take(correction.copied(self.index, target))
            self.go_to(target)

    def interpolate(self) -> None:
        """Make the slices between the decided ones around the slice in view."""
        volume = self._session.volume
        if volume is None or not self.ready:
            return
        if not self.correcting.interpolate(self.index, volume.spacing_mm):
            self._messages.note(
                "There is nothing to interpolate here.", "Correct or confirm one slice on each side of the gap first."
            )

    def operate(self, name: str) -> None:
        """A larger step on the slice under the pointer's view, or with 3D on the whole mask."""
        volume = self._session.volume
        if volume is None or not self.ready:
            return
        view = self._viewport.view
        axis = None if self._tool.solid else view.slice_axis_of(view.active_plane)
        self.correcting.operate(name, Spot(self.voxel, axis), volume.spacing_mm)

    # Going on

    def go_to(self, index: int) -> None:
        """Bring a slice into view."""
        volume, correction = self._session.volume, self.correction
        if volume is not None and correction is not None:
            voxel = np.array(self.voxel, float)
            voxel[correction.slice_axis] = index
            self._cursor.move_to(volume.affine[:3, :3] @ voxel + volume.affine[:3, 3])

    def next_uncertain(self) -> None:
        """Go to the undecided slice that is closest to the threshold, or that the runs disagree about most."""
        correction, runs = self.correction, [run for run in self.runs if run.result.slice_scores.size]
        if correction is None:
            return
        axis = correction.slice_axis
        runs = [run for run in runs if run.result.slice_axis == axis]
        if not runs:
            self._messages.note("Without a run on this series no slice is more uncertain than another.")
            return
        key = tuple(run.key for run in runs), self._display.threshold
        if self._uncertainty is not None and self._uncertainty[0] == key:
            self._go_to_uncertain(self._uncertainty[1])
            return
        job = self._host.submit(
            "", TASKS + "uncertainty", [run.percentiles for run in runs], [run.result.region for run in runs],
            [run.result.slice_percentiles for run in runs], axis, self._display.threshold,
        )  # fmt: skip

        def then(found: NDArray[np.float32]) -> None:
            self._uncertainty = key, found
            self._go_to_uncertain(found)

        job.finished.connect(then)
        job.failed.connect(self._messages.error)

    def _go_to_uncertain(self, uncertainty: NDArray[np.float32]) -> None:
        correction = self.correction
        if correction is None or correction.states.size != uncertainty.size:
            return
        found = next_slice(uncertainty, correction.states == SliceState.AUTO, self.index)
        if found is None:
            self._messages.note("No undecided slice of this series is uncertain.", "Go on with the next case.")
        else:
            self.go_to(found)

    def next_case(self) -> None:
        """Open the study of the library that is most uncertain and not corrected by this reader yet."""
        library, study = self._keeping.library, self._session.study
        cases = [
            (entry.uid, entry.path, [run.score_percentile for run in library.runs(entry.uid)])
            for entry in library.studies(only_with_runs=True)
            if study is None or entry.uid != study.uid
        ]
        job = self._host.submit("", TASKS + "next_case", cases, self.correcting.reader, self._display.threshold)
        job.finished.connect(self._open_case)
        job.failed.connect(self._messages.error)

    def _open_case(self, path: object) -> None:
        if path is None:
            self._messages.note(
                "Every study of the library that has a run is corrected.", "Run engines on more studies."
            )
        else:
            self._opening.open([path])  # type: ignore[list-item]
