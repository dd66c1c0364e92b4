"""The middle of the window: the views, or what to do when there is nothing to see yet."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QLabel, QPushButton, QStackedLayout, QWidget

from brainviewer.panels.parts import column, label, row
from brainviewer.panels.theme import GRID, Theme
from brainviewer.render.triplanar import TriplanarView
from brainviewer.render.window_level import Preset, presets
from brainviewer.state import Cursor, Display, Tool
from brainviewer.state.masks import Masks
from brainviewer.state.session import Session
from brainviewer.state.turn import Turn


class Viewport(QWidget):
    """Shows the session's volume and the heatmap of its active run.

    Signals:
        presets_changed(object): other window presets hold now (list of Preset).
    """

    presets_changed = Signal(object)

    def __init__(
        self,
        session: Session,
        cursor: Cursor,
        display: Display,
        tool: Tool,
        masks: Masks,
        theme: Theme,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._cursor, self._display = session, cursor, display
        self._masks = masks
        self._presets: list[Preset] = []
        self._automatic: tuple[float, float] | None = None
        self._shown_uid = ""
        self.view = TriplanarView(cursor, display, tool)
        self.empty = EmptyState(theme)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.view)
        self._choose_later = Turn(self)
        self._choose_later.due.connect(self._choose_window)
        session.volume_changed.connect(self._show_volume)
        session.volume_filled.connect(self._refresh_volume)
        session.runs_changed.connect(self._show_run)
        masks.changed.connect(lambda: show_masks(self.view, masks))
        self._show_volume()

    def warm_up(self) -> None:
        """Load now what the first volume will need: OpenGL, and the parts of numpy that load when first used."""
        self.view.warm_up()
        presets("", np.zeros((9, 9, 9), np.float32))

    def _show_volume(self) -> None:
        volume, series = self._session.volume, self._session.series
        if (self._stack.currentWidget() is self.view) != (series is not None):
            self._stack.setCurrentWidget(self.view if series is not None else self.empty)
            # Keys are meant for the images, not for a search field that happened to come first.
            (self.view if series is not None else self.empty.demo).setFocus()
        if volume is None or series is None:
            self.view.set_volume(None)
            self._offer([])
            return
        if series.uid != self._shown_uid:
            self._shown_uid = series.uid
            # The views choose a window themselves where there is none.
            self._display.set_window(*(series.window or (0.0, 0.0)))
            self.view.set_volume(volume)
            self._automatic = self._display.window, self._display.level
        else:
            self.view.set_volume(volume)
        self._show_run()
        show_masks(self.view, self._masks)
        # In a turn of its own: looking at the voxels once more takes some milliseconds.
        self._choose_later.start()

    def _refresh_volume(self) -> None:
        self.view.refresh_voxels()
        self._choose_later.start()

    def _choose_window(self) -> None:
        """The window from the file, else an automatic one, until the reader chooses another."""
        volume, series = self._session.volume, self._session.series
        if volume is None or series is None:
            return
        chosen = self._display.window, self._display.level
        untouched = chosen == (0.0, 0.0) or chosen == self._automatic
        # Not more often than something new can come of it.
        if not self._session.complete and not (untouched and series.window is None):
            return
        kind = series.modality or series.kind
        offered = list(presets(kind, volume.voxels))
        if untouched:
            automatic = offered[0]
            width, level = series.window or (automatic.width, automatic.level)
            self._display.set_window(width, level)
            self._automatic = self._display.window, self._display.level
        self._offer(_with_stored(offered, series.window))

    def _offer(self, offered: list[Preset]) -> None:
        if offered != self._presets:
            self._presets = offered
            self.presets_changed.emit(offered)

    def _show_run(self) -> None:
        run = self._session.active_run
        volume = self._session.volume
        if run is None or volume is None or run.percentiles.shape != volume.shape:
            self.view.set_heatmap(None, None)
        else:
            self.view.set_heatmap(run.percentiles, run.result.region, run.title)

    def reset(self) -> None:
        """Fit all views and go back to the automatic window."""
        self.view.reset_view()
        if self._automatic is not None:
            self._display.set_window(*self._automatic)

    def is_maximised(self) -> bool:
        """True when one view fills the window."""
        return self.view.maximised is not None

    def toggle_maximised(self) -> None:
        """Fill the window with the view under the pointer, or show all."""
        self.view.maximise(None if self.is_maximised() else self.view.active_plane)

    def step(self, count: int) -> None:
        """Go slices on or back in the view under the pointer."""
        self.view.step(self.view.active_plane, count)

    def has_preset(self, number: int) -> bool:
        """True when there is a window preset with this number (from 0)."""
        return number < len(self._presets)

    def use_preset(self, number: int) -> None:
        """Use a window preset by its number (from 0)."""
        if self.has_preset(number):
            preset = self._presets[number]
            self._display.set_window(preset.width, preset.level)


def show_masks(view: TriplanarView, masks: Masks) -> None:
    """Draw the masks that are on, and no others, where they fit the view's volume."""
    volume = view.volume
    shown = {mask.key: mask for mask in masks.shown if volume is not None and mask.voxels.shape == volume.shape}
    for key in view.masks - shown.keys():
        view.set_mask(key, None)
    for key, mask in shown.items():
        view.set_mask(key, mask.voxels, mask.colour)


def _with_stored(offered: list[Preset], stored: tuple[float, float] | None) -> list[Preset]:
    return [*offered, Preset("As stored", *stored)] if stored is not None else offered


class EmptyState(QWidget):
    """What a new user sees: drop something, open something, or look at the sample study."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._icon = QLabel()
        self._drop = QFrame()
        self._drop.setProperty("role", "drop")
        self.files = QPushButton("Open files ...")
        self.folder = QPushButton("Open a folder ...")
        self.demo = QPushButton("Open the sample study")
        self.demo.setProperty("role", "primary")
        self.files.setToolTip("DICOM, DICOMDIR, ZIP, NIfTI, PNG or JPEG (Ctrl+O)")
        self.folder.setToolTip("All studies in a folder (Ctrl+Shift+O)")
        self.demo.setToolTip("A simulated head scan with a tumour, made on this computer (Ctrl+D)")
        self._lay_out()
        theme.changed.connect(self._paint)
        self._paint()

    def _lay_out(self) -> None:
        centre = Qt.AlignmentFlag.AlignHCenter
        title = label("Drop a study here", "title")
        formats = label("A DICOM folder, DICOMDIR or ZIP, NIfTI files, PNG or JPEG pictures", "muted")
        steps = label(
            "Then choose an engine on the right and press Run: the heatmap shows what healthy scans do not have.",
            "muted",
        )
        box = column(None, self._icon, title, formats, spacing=GRID)
        for widget in (self._icon, title, formats):
            box.setAlignment(widget, centre)
        box.addSpacing(GRID * 2)
        box.addLayout(row(None, self.demo, self.files, self.folder, None))
        box.addSpacing(GRID * 2)
        box.addWidget(steps, alignment=centre)
        box.addStretch(1)
        self._drop.setLayout(box)
        self.setLayout(column(self._drop, margin=GRID * 3))

    def show_over(self, over: bool) -> None:
        """Answer while something is dragged over the window."""
        self._drop.setProperty("over", "true" if over else "false")
        self._drop.style().unpolish(self._drop)
        self._drop.style().polish(self._drop)

    def _paint(self) -> None:
        self._icon.setPixmap(self._theme.pixmap("brain", 64))
