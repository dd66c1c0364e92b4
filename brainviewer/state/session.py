"""What is open: studies, the series and volume in view, and the runs made on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from brainviewer.state.run import Run
from brainviewer.state.volume_cache import VolumeCache
from brainviewer.study import Series, Study
from engines import Volume


class Session(QObject):
    """The studies of one window. Panels ask here and listen; only the flows in jobs put results in.

    Signals:
        studies_changed: a study was opened or closed.
        series_changed: another series is in view (its volume may still be on its way).
        volume_changed: another volume, or none, is to be shown.
        volume_filled: more slices of the same volume are there, or it is complete now.
        thumbnail_changed(str): the picture of a series arrived.
        runs_changed: the runs of the study in view, or the active one, are others.
        run_removed(Run): the user forgot a run, or a new one of the same model took its place.
    """

    studies_changed = Signal()
    series_changed = Signal()
    volume_changed = Signal()
    volume_filled = Signal()
    thumbnail_changed = Signal(str)
    runs_changed = Signal()
    run_removed = Signal(object)

    def __init__(self, parent: QObject | None = None, cache: VolumeCache | None = None) -> None:
        super().__init__(parent)
        self._studies: list[Study] = []
        self._series: Series | None = None
        self._volume: Volume | None = None
        self._complete = False
        self._cache = cache or VolumeCache()
        self._thumbnails: dict[str, NDArray[np.uint8]] = {}
        self._runs: list[Run] = []
        self._active: dict[str, str] = {}
        self._damaged: set[str] = set()

    @property
    def studies(self) -> tuple[Study, ...]:
        """Open studies, oldest first."""
        return tuple(self._studies)

    @property
    def study(self) -> Study | None:
        """The study of the series in view."""
        return next((study for study in self._studies if self._series in study.series), None)

    @property
    def series(self) -> Series | None:
        """The series in view."""
        return self._series

    @property
    def volume(self) -> Volume | None:
        """The volume in view; may be incomplete."""
        return self._volume

    @property
    def complete(self) -> bool:
        """True when every voxel of the volume in view is there."""
        return self._volume is not None and self._complete

    @property
    def damaged(self) -> bool:
        """True when slices of the volume in view could not be decoded: to look at, not to run engines on."""
        return self._series is not None and self._series.uid in self._damaged

    def add_study(self, study: Study) -> None:
        """Open a study; one with the same identity takes the other's place."""
        self._studies = [other for other in self._studies if other.uid != study.uid] + [study]
        self.studies_changed.emit()

    def close_study(self, uid: str) -> None:
        """Close a study with its volumes and runs."""
        gone = {series.uid for study in self._studies if study.uid == uid for series in study.series}
        self._studies = [study for study in self._studies if study.uid != uid]
        self._runs = [run for run in self._runs if run.series_uid not in gone]
        for series_uid in gone:
            self._cache.drop(series_uid)
            self._thumbnails.pop(series_uid, None)
            self._active.pop(series_uid, None)
        if self._series is not None and self._series.uid in gone:
            self.choose_series(None)
        self.studies_changed.emit()

    def choose_series(self, series: Series | None) -> None:
        """Bring a series into view; its volume follows at once when it is in memory."""
        if series is self._series:
            return
        self._series = series
        self._volume = self._cache.get(series.uid) if series is not None else None
        self._complete = self._volume is not None
        self.series_changed.emit()
        self.volume_changed.emit()
        self.runs_changed.emit()

    def step_series(self, step: int) -> None:
        """Go to the next (1) or previous (-1) series of all open studies."""
        every = [series for study in self._studies for series in study.series]
        if self._series in every:
            place = every.index(self._series) + step
            if 0 <= place < len(every):
                self.choose_series(every[place])

    def put_partial(self, series: Series, volume: Volume) -> None:
        """Show a volume that is still being read."""
        if self._is_in_view(series):
            self._volume, self._complete = volume, False
            self.volume_changed.emit()

    def put_volume(self, series: Series, volume: Volume, *, same_memory: bool = False, damaged: bool = False) -> None:
        """Keep a volume that was read.

        same_memory: it is the partial one already in view, now complete. damaged: some slices stayed empty.
        """
        (self._damaged.add if damaged else self._damaged.discard)(series.uid)
        self._cache.put(series.uid, volume)
        if self._is_in_view(series):
            self._volume, self._complete = volume, True
            (self.volume_filled if same_memory else self.volume_changed).emit()

    def drop_partial(self, series: Series) -> None:
        """Take away a volume whose reading failed half-way: half a scan must not look like a scan."""
        if self._is_in_view(series) and not self._complete:
            self._volume = None
            self.volume_changed.emit()

    def _is_in_view(self, series: Series) -> bool:
        return self._series is not None and self._series.uid == series.uid

    def thumbnail(self, series_uid: str) -> NDArray[np.uint8] | None:
        """The small picture of a series, if it was made."""
        return self._thumbnails.get(series_uid)

    def put_thumbnail(self, series_uid: str, picture: NDArray[np.uint8]) -> None:
        """Keep the small picture of a series."""
        self._thumbnails[series_uid] = picture
        self.thumbnail_changed.emit(series_uid)

    @property
    def runs(self) -> tuple[Run, ...]:
        """Runs on the series in view, oldest first."""
        uid = self._series.uid if self._series is not None else ""
        return tuple(sorted((run for run in self._runs if run.series_uid == uid), key=lambda run: run.created))

    @property
    def study_runs(self) -> tuple[Run, ...]:
        """Runs on any series of the study in view, oldest first."""
        study = self.study
        own = {series.uid for series in study.series} if study is not None else set()
        return tuple(sorted((run for run in self._runs if run.series_uid in own), key=lambda run: run.created))

    @property
    def active_run(self) -> Run | None:
        """The run whose heatmap is shown."""
        active = self._active.get(self._series.uid) if self._series is not None else None
        return next((run for run in self.runs if run.key == active), None)

    def add_run(self, run: Run) -> None:
        """Keep a finished run and show it; it takes the place of the same model's earlier run on that series."""
        replaced = [other for other in self._runs if other.identity == run.identity]
        self._runs = [other for other in self._runs if other not in replaced] + [run]
        self._active[run.series_uid] = run.key
        for other in replaced:
            self.run_removed.emit(other)
        self._tell_of_runs(run)

    def restore_run(self, run: Run) -> None:
        """Take in a run of an earlier day; it is shown where no other is."""
        if not any(run.key == other.key or run.identity == other.identity for other in self._runs):
            self._runs.append(run)
            self._active.setdefault(run.series_uid, run.key)
            self._tell_of_runs(run)

    def _tell_of_runs(self, run: Run) -> None:
        study = self.study
        if study is not None and any(series.uid == run.series_uid for series in study.series):
            self.runs_changed.emit()

    def remove_run(self, key: str) -> None:
        """Forget a run; the one before it is shown."""
        gone = [run for run in self._runs if run.key == key]
        self._runs = [run for run in self._runs if run.key != key]
        for run in gone:
            self.run_removed.emit(run)
        if self.active_run is None and self.runs:
            self.activate_run(self.runs[-1].key)
        else:
            self.runs_changed.emit()

    def activate_run(self, key: str) -> None:
        """Show another run's heatmap."""
        run = next((run for run in self._runs if run.key == key), None)
        if run is not None and self._active.get(run.series_uid) != key:
            self._active[run.series_uid] = key
            self.runs_changed.emit()

    def next_run(self) -> None:
        """Show the run after the active one, in a circle."""
        runs = self.runs
        if len(runs) > 1:
            at = next((n for n, run in enumerate(runs) if run is self.active_run), -1)
            self.activate_run(runs[(at + 1) % len(runs)].key)
