"""Runs beside each other on one study: same slice, same zoom, same scale."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
from PySide6.QtCore import QRect, Qt, QTimer
from PySide6.QtGui import QHideEvent, QRegion, QShowEvent
from PySide6.QtWidgets import QComboBox, QGridLayout, QMenu, QToolButton, QWidget

from brainviewer.jobs.aligning import Aligning
from brainviewer.panels.parts import column, label, row
from brainviewer.panels.theme import GRID
from brainviewer.panels.viewport import show_masks
from brainviewer.panels.wipe_line import WipeLine
from brainviewer.render.geometry import PLANES, Plane, plane_across
from brainviewer.render.overlay import Agreement, Difference, Heatmap, Overlay
from brainviewer.render.stage import Stage
from brainviewer.render.triplanar import TriplanarView
from brainviewer.state import Cursor, Display, Tool
from brainviewer.state.masks import Masks
from brainviewer.state.run import Run
from brainviewer.state.session import Session
from brainviewer.state.turn import Turn
from engines import Volume

Mode = Literal["side", "planes", "wipe", "flicker", "agreement", "difference", "slices", "figures"]
MODES: dict[Mode, tuple[str, str]] = {
    "side": ("Side by side", "One view for each run"),
    "planes": ("All planes", "A column of three views for each run"),
    "wipe": ("Wipe", "Two runs on one view; drag the line between them"),
    "flicker": ("Flicker", "Two runs on one view, in turn"),
    "agreement": ("Agreement", "How many of the runs lie above the threshold"),
    "difference": ("Difference", "Where one run lies higher than the other"),
    "slices": ("Key slices", "The slices with the highest scores, a row for each run"),
    "figures": ("Figures", "ROC, precision over recall, Bland-Altman, and a table against a drawn truth"),
}
MOST_RUNS = 4
KEY_SLICES = 5
FLICKER_MS = 600
NEEDED = {"side": 1, "planes": 1, "slices": 1, "figures": 1}


class CompareView(QWidget):
    """Shows up to four chosen runs in one of several arrangements; knows nothing while it is hidden."""

    def __init__(
        self,
        session: Session,
        aligning: Aligning,
        cursor: Cursor,
        display: Display,
        tool: Tool,
        masks: Masks,
        make_figures: Callable[[], QWidget],
        stage: Stage,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._aligning, self._masks = session, aligning, masks
        self._make_figures = make_figures
        self._figures: QWidget | None = None
        self._cursor, self._display, self._tool = cursor, display, tool
        self._left_out: set[str] = set()
        self._stage = stage
        self._views: list[TriplanarView] = []
        self._rooms: list[QWidget] = []
        self._shown: object = None
        self.mode: Mode = "side"
        self.plane: Plane = "axial"
        self._modes, self._planes, self._which = QComboBox(), QComboBox(), QToolButton()
        self._note = label("", "muted", wrap=True)
        self._note.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._body = QWidget()
        self._grid = QGridLayout(self._body)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(2)
        self._wipe = WipeLine(self._body, self._clip)
        self._flicker = QTimer(self, interval=FLICKER_MS)
        self._flicker.timeout.connect(self._turn)
        # A view in each turn of the event loop: many at once would hold up the window.
        self._pieces: deque[Callable[[], object]] = deque()
        self._next_piece = Turn(self)
        self._next_piece.due.connect(self._add_piece)
        self._build()
        self._later = Turn(self)
        self._later.due.connect(self._show)
        for changed in (aligning.changed, session.volume_changed):
            changed.connect(self._later.start)
        session.volume_filled.connect(self._refresh_voxels)
        masks.changed.connect(self._show_masks)

    def _build(self) -> None:
        for key, (text, tip) in MODES.items():
            self._modes.addItem(text, key)
            self._modes.setItemData(self._modes.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self._modes.setAccessibleName("How the runs are compared")
        self._modes.activated.connect(lambda index: self.set_mode(self._modes.itemData(index)))
        for plane in PLANES:
            self._planes.addItem(plane.capitalize(), plane)
        self._planes.setAccessibleName("Plane that is shown")
        self._planes.activated.connect(lambda index: self.set_plane(self._planes.itemData(index)))
        self._which.setText("Runs")
        self._which.setToolTip("Which runs are compared, four at most")
        self._which.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._which.setMenu(QMenu(self._which))
        bar = row(self._modes, self._planes, self._which, None)
        bar.setContentsMargins(GRID, 4, GRID, 4)
        self._layout = column(spacing=0)
        self._layout.addLayout(bar)
        self._layout.addWidget(self._note, 1)
        self._layout.addWidget(self._body, 1)
        self.setLayout(self._layout)

    # What is compared

    @property
    def runs(self) -> tuple[Run, ...]:
        """The chosen runs, oldest first."""
        volume = self._session.volume
        fitting = [run for run in self._aligning.runs if volume is not None and run.percentiles.shape == volume.shape]
        return tuple(run for run in fitting if run.key not in self._left_out)[-MOST_RUNS:]

    @property
    def views(self) -> tuple[TriplanarView, ...]:
        """The views on show, in reading order."""
        return tuple(self._views)

    @property
    def note(self) -> str:
        """What is said in place of views."""
        return self._note.text() if not self._note.isHidden() else ""

    def set_mode(self, mode: Mode) -> None:
        """Arrange the runs in another way."""
        self.mode = mode
        self._modes.setCurrentIndex(self._modes.findData(mode))
        self._show()

    def set_plane(self, plane: Plane) -> None:
        """Show another plane."""
        self.plane = plane
        self._planes.setCurrentIndex(self._planes.findData(plane))
        self._show()

    def choose(self, key: str, wanted: bool) -> None:
        """Take a run into the comparison, in place of the oldest where there are four, or leave it out."""
        shown = [run.key for run in self.runs]
        # What the menu shows as left out stays out, else another run would come in its place.
        self._left_out.update(run.key for run in self._aligning.runs if run.key not in shown)
        (self._left_out.discard if wanted else self._left_out.add)(key)
        if wanted and len(shown) == MOST_RUNS and key not in shown:
            self._left_out.add(shown[0])
        self._show()

    # Showing it

    def _show(self) -> None:
        """Arrange the views anew where something is different."""
        if not self.isVisible():
            return
        volume, runs = self._session.volume, self.runs
        self._offer_runs()
        least = NEEDED.get(self.mode, 2)
        text = "" if volume is not None else "Open a study to compare runs on it."
        if volume is not None and len(runs) < least:
            text = "Run an engine to compare." if least == 1 else "Two runs are needed: run another engine or model."
        self._note.setText(text)
        self._note.setVisible(bool(text))
        figures = self.mode == "figures" and not text
        self._body.setVisible(not text and not figures)
        if figures and self._figures is None:
            self._figures = self._make_figures()
            self._layout.addWidget(self._figures, 1)
        if self._figures is not None:
            self._figures.setVisible(figures)
        shown = self.mode, self.plane, id(volume), tuple(id(run.percentiles) for run in runs), bool(text)
        if shown == self._shown:
            return
        self._shown = shown
        self._clear()
        if not text:
            arrange: dict[Mode, Callable[[list[Heatmap]], None]] = {
                "side": self._side_by_side,
                "planes": self._all_planes,
                "wipe": lambda maps: self._one_over_other(maps, wipe=True),
                "flicker": lambda maps: self._one_over_other(maps, wipe=False),
                "agreement": lambda maps: self._single(Agreement(tuple(maps), f"Agreement of {len(maps)} runs")),
                "difference": lambda maps: self._single(Difference(maps[-2], maps[-1])),
                "slices": self._key_slices,
                "figures": lambda _maps: None,
            }
            arrange[self.mode]([Heatmap(run.percentiles, run.result.region, run.title) for run in runs])
            self._next_piece.start()

    def _show_masks(self) -> None:
        for view in self._views:
            show_masks(view, self._masks)

    def _refresh_voxels(self) -> None:
        for view in self._views:
            view.refresh_voxels()

    def _offer_runs(self) -> None:
        menu = self._which.menu()
        menu.clear()
        shown = {run.key for run in self.runs}
        for run in self._aligning.runs:
            action = menu.addAction(run.title)
            action.setCheckable(True)
            action.setChecked(run.key in shown)
            action.toggled.connect(lambda on, key=run.key: self.choose(key, on))

    def _clear(self) -> None:
        self._flicker.stop()
        self._pieces.clear()
        self._share_room(0, 0)
        self._wipe.hide()
        for widget in (*self._views, *self._rooms):
            self._grid.removeWidget(widget)
            widget.hide()
            widget.deleteLater()
        self._views, self._rooms = [], []

    def _view(self, overlay: Overlay, place: tuple[int, int], cursor: Cursor | None = None) -> TriplanarView:
        """One more view of the volume, drawn on the common stage."""
        view = TriplanarView(cursor or self._cursor, self._display, self._tool, self._body, self._stage)
        view.setMinimumSize(60, 60)
        view.set_volume(self._session.volume, keep_position=True)
        view.set_overlay(overlay)
        show_masks(view, self._masks)
        self._grid.addWidget(view, *place)
        self._views.append(view)
        view.camera_moved.connect(lambda plane: self._follow(view, plane))
        view.show()
        return view

    def _follow(self, moved: TriplanarView, plane: Plane) -> None:
        for view in self._views:
            if view is not moved:
                view.look_like(moved, plane)

    def _share_room(self, rows: int, columns: int) -> None:
        """Views that come one after the other find their room kept free, else each would be drawn in several sizes."""
        for place in np.ndindex(rows, columns):
            self._rooms.append(QWidget(self._body))
            self._grid.addWidget(self._rooms[-1], *place)
        for number in range(max(self._grid.rowCount(), rows)):
            self._grid.setRowStretch(number, int(number < rows))
        for number in range(max(self._grid.columnCount(), columns)):
            self._grid.setColumnStretch(number, int(number < columns))

    def _add_piece(self) -> None:
        if self._pieces:
            self._pieces.popleft()()
            self._next_piece.start()

    def _side_by_side(self, maps: list[Heatmap]) -> None:
        across = 2 if len(maps) > 2 else len(maps)
        self._share_room(-(-len(maps) // across), across)
        for number, heatmap in enumerate(maps):
            self._pieces.append(partial(self._one_plane, heatmap, divmod(number, across)))

    def _one_plane(self, heatmap: Heatmap, place: tuple[int, int]) -> None:
        self._view(heatmap, place).maximise(self.plane)

    def _all_planes(self, maps: list[Heatmap]) -> None:
        self._share_room(1, len(maps))
        for number, heatmap in enumerate(maps):
            self._pieces.append(partial(self._three_planes, heatmap, (0, number)))

    def _three_planes(self, heatmap: Heatmap, place: tuple[int, int]) -> None:
        self._view(heatmap, place).stack(True)

    def _single(self, overlay: Overlay) -> None:
        self._pieces.append(lambda: self._view(overlay, (0, 0)))

    def _one_over_other(self, maps: list[Heatmap], *, wipe: bool) -> None:
        for heatmap in maps[-2:]:
            self._pieces.append(partial(self._one_plane, heatmap, (0, 0)))
        self._pieces.append(partial(self._put_line, maps[-1].title) if wipe else self._flicker.start)

    def _put_line(self, title: str) -> None:
        self._wipe.name(title)
        self._wipe.show()
        self._wipe.raise_()
        QTimer.singleShot(0, self._wipe, self._wipe.fit)

    def _clip(self, across: int) -> None:
        """Show the upper of two views only to the left of a place."""
        if self.mode == "wipe" and len(self._views) == 2:
            upper = self._views[-1]
            upper.setMask(QRegion(QRect(0, 0, max(1, across - upper.x()), upper.height())))

    def _turn(self) -> None:
        if len(self._views) == 2:
            self._views[-1].setVisible(not self._views[-1].isVisible())

    def _key_slices(self, maps: list[Heatmap]) -> None:
        """The highest slices of any run, top to bottom of the patient, with a cursor of their own."""
        volume = self._session.volume
        if volume is None:
            return
        indices = key_slices(self.runs, volume)
        self._share_room(len(maps), len(indices))
        for across, index in enumerate(indices):
            for down, heatmap in enumerate(maps):
                self._pieces.append(partial(self._key_slice, heatmap, volume, (down, across), index))

    def _key_slice(self, heatmap: Heatmap, volume: Volume, place: tuple[int, int], index: int) -> None:
        middle = (np.array(volume.shape) - 1) / 2
        middle[volume.slice_axis] = index
        cursor = Cursor()
        cursor.move_to(volume.affine[:3, :3] @ middle + volume.affine[:3, 3])
        self._view(heatmap, place, cursor).maximise(plane_across(volume))

    # Qt's events

    def showEvent(self, event: QShowEvent) -> None:  # noqa: D102, N802
        super().showEvent(event)
        self._later.start()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: D102, N802
        super().hideEvent(event)
        # Hidden views take no memory and follow nothing.
        self._shown = None
        self._clear()

    def close_vtk(self) -> None:
        """Let go of VTK."""
        self._clear()


def key_slices(runs: Sequence[Run], volume: Volume, most: int = KEY_SLICES) -> list[int]:
    """Slices with the highest healthy percentile in any run, not next to each other, in the order of the volume.

    Runs on another series have other slices and no say.
    """
    scores = [run.result.slice_percentiles for run in runs if run.result.provenance.volume_uid == volume.uid]
    if not scores:
        return []
    highest = np.nan_to_num(np.nanmax(np.nan_to_num(np.stack(scores), nan=-1.0), axis=0), nan=-1.0)
    apart = max(1, int((highest >= 0).sum()) // (3 * most))
    chosen: list[int] = []
    for index in np.argsort(-highest, kind="stable").tolist():
        if highest[index] >= 0 and all(abs(index - other) >= apart for other in chosen):
            chosen.append(index)
        if len(chosen) == most:
            break
    return sorted(chosen)
