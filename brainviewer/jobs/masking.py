"""Masks of a study follow the reader from series to series: read and resampled in the reading worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject

from brainviewer.jobs.aligning import Aligning
from brainviewer.jobs.correcting import PSEUDO_MASKS
from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.job import Job
from brainviewer.state import Display
from brainviewer.state.masks import COLOURS, Mask, Masks
from brainviewer.state.messages import Messages
from brainviewer.state.run import Run
from brainviewer.state.session import Session
from engines import KnownError

HALF = 0.5
Grid = tuple[NDArray[np.uint8], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """Where a mask of a study comes from: a file, or voxels on some grid with their affine."""

    study_uid: str
    title: str
    colour: str
    origin: Path | Grid


def _pseudo_mask(run: Run) -> NDArray[Any] | None:
    return next((run.result.extras[name] for name in PSEUDO_MASKS if name in run.result.extras), None)


class Masking(QObject):
    """Adds and removes masks; puts those of the study in view on the grid of the series in view."""

    def __init__(
        self,
        session: Session,
        masks: Masks,
        display: Display,
        messages: Messages,
        host: WorkerHost,
        aligning: Aligning,
    ) -> None:
        super().__init__()
        self._session, self._masks, self._display = session, masks, display
        self._messages, self._host, self._aligning = messages, host, aligning
        self._sources: dict[str, _Source] = {}
        self._placed: dict[tuple[str, str], Mask | Job] = {}
        session.volume_changed.connect(self._place)
        session.studies_changed.connect(self._drop_closed)

    def add(self, path: Path) -> Job | None:
        """Lay the masks of a file over the series in view; the first one of a study becomes the truth."""
        study = self._session.study
        if study is None or self._session.series is None:
            self._messages.error(KnownError("There is no series to lay a mask over.", "Open the study first."))
            return None
        source = _Source(study.uid, path.name, self._colour(), path)
        return self._ask(uuid4().hex, source, first=True)

    def add_consensus(self, least: int) -> Job | None:
        """Lay over what at least so many of the runs in view put above the threshold."""
        volume, study = self._session.volume, self._session.study
        runs = [run for run in self._aligning.runs if volume and run.percentiles.shape == volume.shape]
        if volume is None or study is None or len(runs) < least:
            return None
        threshold = self._display.threshold
        title = f"{least} of {len(runs)} runs above p {threshold:g}"
        job = self._host.submit(
            "", "brainviewer.jobs.tasks:consensus", [run.percentiles for run in runs],
            [run.result.region for run in runs], threshold, least,
        )  # fmt: skip

        def put(voxels: NDArray[np.uint8]) -> None:
            if not voxels.any():
                self._messages.note(f"No place is marked by {least} runs above p {threshold:g}.")
                return
            key = uuid4().hex
            self._sources[key] = _Source(study.uid, title, self._colour(), (voxels, volume.affine))
            self._place()

        job.finished.connect(put)
        job.failed.connect(self._messages.error)
        return job

    @property
    def with_pseudo_mask(self) -> tuple[Run, ...]:
        """Runs of the study whose engine made a mask besides its heatmap."""
        return tuple(run for run in self._session.study_runs if _pseudo_mask(run) is not None)

    def add_pseudo_mask(self, run: Run) -> None:
        """Lay the mask that an engine made (its pseudo-mask) over the series in view."""
        study, mask = self._session.study, _pseudo_mask(run)
        series = next((one for one in study.series if one.uid == run.series_uid), None) if study else None
        if study is None or series is None or mask is None:
            return
        voxels = (mask > HALF).astype(np.uint8)
        if not voxels.any():
            self._messages.note(f"The pseudo-mask of {run.title} is empty.")
            return
        title = f"Pseudo-mask, {run.title}"
        self._sources[uuid4().hex] = _Source(study.uid, title, self._colour(), (voxels, np.array(series.affine)))
        self._place()

    def remove(self, key: str) -> None:
        """Take a mask away; its file stays as it is."""
        self._sources.pop(key, None)
        self._place()

    def _colour(self) -> str:
        taken = [source.colour for source in self._sources.values()]
        return min(COLOURS, key=lambda colour: (taken.count(colour), COLOURS.index(colour)))

    def _drop_closed(self) -> None:
        open_now = {study.uid for study in self._session.studies}
        self._sources = {key: one for key, one in self._sources.items() if one.study_uid in open_now}
        self._place()

    def _place(self) -> None:
        """Show what is on this grid already, ask for the rest."""
        series, study, volume = self._session.series, self._session.study, self._session.volume
        if series is None or study is None or volume is None:
            self._masks.put(())
            return
        self._placed = {at: one for at, one in self._placed.items() if at[0] in self._sources and at[1] == series.uid}
        shown = []
        for key, source in self._sources.items():
            if source.study_uid == study.uid:
                placed = self._placed.get((key, series.uid))
                if placed is None:
                    self._ask(key, source)
                elif isinstance(placed, Mask):
                    shown.append(placed)
        if [mask.key for mask in shown] != [mask.key for mask in self._masks.all] or shown != [*self._masks.all]:
            self._masks.put(shown)

    def _ask(self, key: str, source: _Source, *, first: bool = False) -> Job | None:
        series = self._session.series
        if series is None:
            return None
        shape, affine = series.shape, np.array(series.affine)
        if isinstance(source.origin, Path):
            task: tuple[Any, ...] = ("brainviewer.reading.mask:read_masks", source.origin, series)
        else:
            task = ("brainviewer.jobs.tasks:align_mask", source.title, *source.origin, shape, affine)
        job = self._host.submit("Reading the mask" if first else "", *task)
        at = (key, series.uid)
        self._placed[at] = job
        job.finished.connect(lambda found: self._put(at, source, found, first))
        job.failed.connect(lambda error: self._fail(at, error))
        return job

    def _put(self, at: tuple[str, str], source: _Source, found: list[Any], first: bool) -> None:
        key, series_uid = at
        if first:
            self._sources[key] = source
        elif key not in self._sources:
            return
        # Several masks of one file are one layer: where any of them is.
        voxels = found[0].voxels if len(found) == 1 else np.maximum.reduce([one.voxels for one in found])
        self._placed[key, series_uid] = Mask(key, source.title, source.colour, voxels)
        if first and self._masks.truth is None:
            self._masks.set_truth(key)
        self._place()

    def _fail(self, at: tuple[str, str], error: Exception) -> None:
        key, series_uid = at
        source = self._sources.get(key)
        self._placed.pop(at, None)
        if source is not None and self._session.series is not None:
            # On this series there is nothing of it; on the one it was drawn for it stays.
            nothing = np.zeros(self._session.series.shape, np.uint8)
            self._placed[at] = Mask(key, source.title, source.colour, nothing)
        self._messages.error(error)
