"""One mask under correction: begun from a run, changed under the reader's hand, written step by step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from brainviewer.jobs.correction_saving import Saving
from brainviewer.jobs.correction_tasks import Begun
from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.job import Job
from brainviewer.state import Display, Tool
from brainviewer.state.messages import Messages
from brainviewer.state.run import Run
from brainviewer.state.session import Session
from brainviewer.storage import corrections
from brainviewer.storage.correction_records import Event, Kind, Place
from brainviewer.storage.corrections import About, Loaded, Version
from brainviewer.study.brush import Stroke, above, alike
from brainviewer.study.correction import Correction
from brainviewer.study.mask_edit import Box, Edit, slice_box, tight, whole
from engines import KnownError

TASKS = "brainviewer.jobs.correction_tasks:"
OPERATIONS = {
    "fill": "Fill holes",
    "remove_island": "Remove island",
    "keep_island": "Keep island",
    "grow": "Grow",
    "shrink": "Shrink",
    "smooth": "Smooth",
}
# What an engine may have made besides its heatmap: a mask to begin with.
PSEUDO_MASKS = ("pseudo mask", "pseudo_mask", "pseudo-mask")


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a larger step works: a voxel, and the voxel axis whose slice is meant (None for the whole mask)."""

    voxel: tuple[int, int, int]
    axis: int | None


class Correcting(QObject):
    """The correction of the series in view, if there is one. The views' painter: see render.interaction.

    reader: who corrects; a correction belongs to one reader. heatmap: gives the healthy percentiles, on the grid in
    view, that hold the brush back.

    Signals:
        opened: another correction, or none, is open.
        painted(Box): voxels in a box have flipped.
        stepped: a step was taken or taken back; slice states may be others.
        changed: a larger step began or ended.
    """

    opened = Signal()
    painted = Signal(object)
    stepped = Signal()
    changed = Signal()

    def __init__(self, session: Session, display: Display, tool: Tool, messages: Messages, host: WorkerHost) -> None:
        super().__init__()
        self._session, self._display, self._tool = session, display, tool
        self._messages, self._host = messages, host
        self._saving: Saving | None = None
        self._stroke: Stroke | None = None
        self._job: Job | None = None
        self.reader = "Reader"
        self.heatmap: Callable[[], NDArray[np.float32] | None] = lambda: None
        self.correction: Correction | None = None
        self.about: About | None = None
        self.interrupted: float | None = None
        session.series_changed.connect(self.close)

    @property
    def busy(self) -> bool:
        """True while a correction is loaded or a larger step is worked on: nothing can be changed meanwhile."""
        return self._job is not None

    @property
    def ready(self) -> bool:
        """True when the mask can be changed now."""
        return self.correction is not None and self._job is None and self._stroke is None

    @property
    def unsaved(self) -> int:
        """Steps that are in memory only, because the disk takes none."""
        return self._saving.waiting if self._saving is not None else 0

    # Opening and closing

    def begin(self, run: Run) -> None:
        """Correct the mask of a run at the present threshold, or its pseudo-mask where the engine made one.

        A correction that is open stays on disk as it is.
        """
        study, series, volume = self._session.study, self._session.series, self._session.volume
        if study is None or series is None or volume is None or run.percentiles.shape != volume.shape or self.busy:
            return
        self.close()
        affine = tuple(tuple(float(value) for value in row) for row in volume.affine)
        how, extras = run.result.provenance, run.result.extras
        made = next((extras[name] for name in PSEUDO_MASKS if name in extras), None)
        if made is not None and made.shape != volume.shape:
            made = None
        about = About(
            series.uid, study.uid, self.reader, volume.shape, affine, volume.slice_axis, run.key, run.engine,
            run.title, how.model_digest, self._display.threshold if made is None else math.nan,
        )  # fmt: skip

        def show(begun: Begun) -> None:
            if begun.trouble is not None:
                self._messages.error(begun.trouble)
            self._open(about, Correction(begun.automatic, about.slice_axis), None, begun.trouble is None)

        self._ask("Beginning a correction", show, "begin", about, run.percentiles, run.result.region, made)

    def resume(self) -> None:
        """Go on with the reader's newest correction of the series in view, if there is one."""
        series, volume = self._session.series, self._session.volume
        if series is None or volume is None or self.correction is not None or self.busy:
            return

        def show(loaded: Loaded | None) -> None:
            if loaded is None:
                self.opened.emit()
                return
            found = loaded.correction
            # What came from the worker lies in shared memory that cannot be written.
            correction = Correction.restored(
                found.automatic, found.slice_axis, found.mask, found.states, found.edits, found.undone
            )
            self.interrupted = loaded.interrupted
            if loaded.lost:
                self._messages.warn(
                    "The record of these corrections was damaged; the mask is as in the last kept version.",
                    "Undo reaches back to that version only.",
                )
            self._open(loaded.about, correction, loaded.place, made=True)

        self._ask("Loading corrections", show, "resume", series.uid, self.reader, volume.shape)

    def _open(self, about: About, correction: Correction, place: Place | None, made: bool) -> None:
        series = self._session.series
        if series is None or series.uid != about.series:
            return
        try:
            self._saving = Saving(about, correction.automatic, place, self._messages, made)
        except KnownError as error:
            self._messages.error(error)
            return
        self.correction, self.about = correction, about
        self.opened.emit()
        self.stepped.emit()

    def close(self) -> None:
        """Let go of the correction; everything is on disk."""
        self.drop_stroke()
        if self._job is not None:
            self._job.cancel()
            self._job = None
        if self._saving is not None and self.correction is not None:
            self._saving.close(self.correction)
        was_open = self.correction is not None
        self._saving, self.correction, self.about, self.interrupted = None, None, None, None
        if was_open:
            self.opened.emit()
            self.stepped.emit()

    # Under the hand: what the views call

    def press(self, voxel: NDArray[np.float64], axis: int, erase: bool) -> None:
        """The brush touches a slice along a voxel axis."""
        volume = self._session.volume
        if not self.ready or self.correction is None or volume is None:
            return
        guide = None
        if not erase and self._tool.guide == "heatmap":
            percentiles = self.heatmap()
            if percentiles is None or percentiles.shape != volume.shape:
                self._messages.note("There is no heatmap to hold the brush back.", "Run an engine, or press G.")
                return
            guide = above(percentiles, self._tool.guide_percentile)
        elif not erase and self._tool.guide == "intensity":
            guide = alike(volume.voxels, volume.affine, voxel, self._tool.radius_mm)
        axis_painted = None if self._tool.solid else axis
        self._stroke = Stroke(self.correction, volume.affine, int(not erase), self._tool.radius_mm, axis_painted, guide)
        self.move(voxel)

    def move(self, voxel: NDArray[np.float64]) -> None:
        """The brush goes on."""
        box = self._stroke.to(voxel) if self._stroke is not None else None
        if box is not None:
            self.painted.emit(box)

    def release(self) -> None:
        """The brush is lifted: the stroke is a step."""
        edit = self._stroke.finish() if self._stroke is not None else None
        self._stroke = None
        if edit is not None:
            self._write(Event(Kind.EDIT, edit))

    def drop_stroke(self) -> bool:
        """Forget the stroke under the hand; True where there was one."""
        if self._stroke is None:
            return False
        box = self._stroke.drop()
        self._stroke = None
        if box is not None:
            self.painted.emit(box)
        return True

    # Steps

    def take(self, edit: Edit | None) -> bool:
        """Take a step, if there is one."""
        if edit is None or not self.ready or self.correction is None:
            return False
        self.correction.apply(edit)
        self.painted.emit(edit.box)
        self._write(Event(Kind.EDIT, edit))
        return True

    def undo(self) -> None:
        """Take back the last step."""
        edit = self.correction.undo() if self.ready and self.correction is not None else None
        if edit is not None:
            self.painted.emit(edit.box)
            self._write(Event(Kind.UNDO))

    def redo(self) -> None:
        """Bring back the step undone last."""
        edit = self.correction.redo() if self.ready and self.correction is not None else None
        if edit is not None:
            self.painted.emit(edit.box)
            self._write(Event(Kind.REDO))

    def _write(self, event: Event) -> None:
        if self._saving is not None and self.correction is not None:
            self._saving.add(event, self.correction)
        self.stepped.emit()

    # Larger steps, in a worker

    def operate(self, name: str, spot: Spot, spacing_mm: NDArray[np.float64]) -> None:
        """One of OPERATIONS on a slice or on the whole mask."""
        correction = self.correction
        if not self.ready or correction is None:
            return
        step_mm = max(1.0, float(min(mm for n, mm in enumerate(spacing_mm) if n != spot.axis)))
        box = self._reach(correction, spot, step_mm, spacing_mm)
        if box is None:
            return
        options: dict[str, Any] = {}
        if name.endswith("island"):
            pairs = zip(spot.voxel, (box.i, box.j, box.k), strict=True)
            options = {"seed": tuple(min(max(at, low), high - 1) - low for at, (low, high) in pairs)}
        elif name != "fill":
            options = {"radius_mm": step_mm, "spacing_mm": tuple(spacing_mm.tolist())}
        what = OPERATIONS[name]
        self._operate(name, box, options, lambda values: correction.replaced(what, box, values))

    def _reach(self, correction: Correction, spot: Spot, step_mm: float, spacing_mm: NDArray[np.float64]) -> Box | None:
        """The part of the volume that an operation can change; None where the mask is empty there."""
        if spot.axis is not None:
            box = slice_box(correction.mask.shape, spot.axis, spot.voxel[spot.axis])
            return box if correction.mask[box.slices].any() else None
        inside = tight(correction.mask > 0)
        if inside is None:
            return None
        margins = np.ceil(step_mm / spacing_mm).astype(int) + 1
        outer = whole(correction.mask.shape)
        bounds = [
            (max(inside.axis(n)[0] - int(margin), 0), min(inside.axis(n)[1] + int(margin), outer.axis(n)[1]))
            for n, margin in enumerate(margins)
        ]
        return Box(*bounds)

    def interpolate(self, index: int, spacing_mm: NDArray[np.float64]) -> bool:
        """Make the slices between the decided ones around a slice; False where there are no two."""
        correction = self.correction
        if not self.ready or correction is None:
            return False
        gap = correction.gap(index)
        if gap is None:
            return False
        box = slice_box(correction.mask.shape, correction.slice_axis, *gap)
        options = {"axis": correction.slice_axis, "spacing_mm": tuple(spacing_mm.tolist())}
        self._operate("interpolate", box, options, lambda values: correction.interpolated(box, values))
        return True

    def _operate(
        self, name: str, box: Box, options: dict[str, Any], edit: Callable[[NDArray[np.uint8]], Edit | None]
    ) -> None:
        correction = self.correction
        assert correction is not None  # noqa: S101 - asked by the callers

        def put(values: NDArray[np.uint8]) -> None:
            if self.correction is correction:
                self.take(edit(values))

        self._ask("", put, "operate", name, np.ascontiguousarray(correction.mask[box.slices]), options)

    def _ask(self, title: str, then: Callable[[Any], None], task: str, *args: Any) -> None:
        job = self._host.submit(title, TASKS + task, *args)
        self._job = job

        def end(result: Any) -> None:
            if self._job is job:
                self._job = None
                then(result)

        def forget() -> None:
            if self._job is job:
                self._job = None
            self.changed.emit()

        job.finished.connect(end)
        job.failed.connect(self._messages.error)
        job.ended.connect(forget)
        self.changed.emit()

    # Versions

    def versions(self) -> tuple[Version, ...]:
        """Kept versions of this correction, the newest first."""
        return corrections.versions(corrections.folder(self.about)) if self.about is not None else ()

    def keep_version(self, name: str) -> None:
        """Keep the present state under a name."""
        if self._saving is not None and self.correction is not None:
            self._saving.keep_version(self.correction, name)

    def go_back(self, version: Version) -> None:
        """Bring back a kept version, as a step that can be undone."""
        if not self.ready or self.correction is None or self.about is None:
            return
        try:
            mask, states = corrections.read_version(version, self.about.shape)
        except KnownError as error:
            self._messages.error(error)
            return
        self.take(self.correction.become("Earlier version", mask, states))
