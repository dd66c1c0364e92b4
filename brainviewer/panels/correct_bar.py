"""The tools of the Correct workspace, above the views."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from math import log

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFrame,
    QMenu,
    QPushButton,
    QSizePolicy,
    QSlider,
    QToolButton,
    QWidget,
)

from brainviewer.jobs.correcting import OPERATIONS
from brainviewer.panels.correct_desk import CorrectDesk
from brainviewer.panels.parts import column, label, row
from brainviewer.panels.theme import GRID, tabular
from brainviewer.state import Tool
from brainviewer.state.tool import LARGEST_MM, SMALLEST_MM
from brainviewer.storage.corrections import Version
from brainviewer.study.mask_edit import STATE_NAMES, SliceState

# The same marks as in the row under the slice scores.
GLYPHS = {
    SliceState.CORRECTED: "\u25a0",
    SliceState.CONFIRMED: "\u25cf",
    SliceState.REJECTED: "\u2715",
    SliceState.INTERPOLATED: "\u25c7",
}
GUIDE_TEXTS = {"": "Paint everywhere", "heatmap": "Only on the heatmap", "intensity": "Only alike tissue"}
# The slider moves evenly in the logarithm of the radius.
SIZE_STEPS = 100
SLICE_WIDTH = 190
BEGIN_HINT = "Correct the mask of a run at the threshold in Layers; the automatic mask is kept as it is."
NO_RUN = "There is no mask to correct yet: choose an engine on the right and press Run."


class CorrectBar(QWidget):
    """Two lines of tools while a correction is open, else how to begin one."""

    def __init__(self, desk: CorrectDesk, tool: Tool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk, self._tool = desk, tool
        self._verdicts: dict[str, QToolButton] = {}
        self._steps: list[QToolButton] = []
        self._begin_line, self._tools = QWidget(), QWidget()
        self._notice = QFrame()
        self._make_begin()
        self._make_tools()
        self._make_notice()
        layout = column(self._notice, self._begin_line, self._tools, spacing=0)
        self.setLayout(layout)
        self.setAccessibleName("Correction tools")
        for changed in (desk.changed, desk.moved):
            changed.connect(self.refresh)
        self.refresh()

    # Making it

    def _make_begin(self) -> None:
        self._hint = label("", "muted", wrap=True)
        self._runs = QComboBox()
        self._runs.setAccessibleName("Run whose mask is corrected")
        self._begin = QPushButton("Begin")
        self._begin.setProperty("role", "primary")
        self._begin.clicked.connect(self._begin_run)
        line = row(self._hint, self._runs, self._begin)
        line.setContentsMargins(GRID, 6, GRID, 6)
        line.setStretch(0, 1)
        self._begin_line.setLayout(line)

    def _make_tools(self) -> None:
        tool, desk = self._tool, self._desk
        self._brush = self._button(
            "Brush", "Paint with the left button (B); hold Ctrl to erase", lambda: desk.hold("brush"), True
        )
        self._eraser = self._button("Eraser", "Erase with the left button (E)", lambda: desk.hold("eraser"), True)
        self._size = QSlider(Qt.Orientation.Horizontal)
        self._size.setRange(0, SIZE_STEPS)
        self._size.setFixedWidth(90)
        self._size.setToolTip("Radius of the brush ([ and ], or Shift + wheel)")
        self._size.setAccessibleName("Radius of the brush")
        self._size.valueChanged.connect(lambda steps: setattr(tool, "radius_mm", to_radius(steps)))
        self._size_text = label("", "muted")
        self._size_text.setFont(tabular(self._size_text.font()))
        self._size_text.setFixedWidth(56)
        self._solid = self._button(
            "3D", "On: spheres, and steps on the whole mask. Off: discs, and steps on the slice (D)",
            lambda: setattr(tool, "solid", not tool.solid), True,
        )  # fmt: skip
        self._guide = QComboBox()
        for key, text in GUIDE_TEXTS.items():
            self._guide.addItem(text, key)
        self._guide.setAccessibleName("Where the brush may paint")
        self._guide.setToolTip("Where the brush may paint (G)")
        self._guide.activated.connect(lambda index: setattr(tool, "guide", self._guide.itemData(index)))
        self._percentile = QDoubleSpinBox()
        self._percentile.setRange(0, 99.99)
        self._percentile.setDecimals(1)
        self._percentile.setPrefix("p > ")
        self._percentile.setAccessibleName("Healthy percentile above which the brush paints")
        self._percentile.setToolTip("The brush paints only where the heatmap lies above this healthy percentile")
        self._percentile.valueChanged.connect(lambda value: setattr(tool, "guide_percentile", value))
        self._undo = self._button("Undo", "", desk.correcting.undo)
        self._redo = self._button("Redo", "", desk.correcting.redo)
        self._progress = label("", "muted")
        self._progress.setFont(tabular(self._progress.font()))
        # Longer words must not make the window's middle wider while somebody paints.
        self._progress.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._progress.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._versions = QToolButton()
        self._versions.setText("Versions")
        self._versions.setToolTip("Keep the present state under a name, or go back to a kept one")
        self._versions.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self._versions)
        menu.aboutToShow.connect(self._list_versions)
        self._versions.setMenu(menu)
        upper = row(
            self._brush, self._eraser, self._size, self._size_text, self._solid, self._guide, self._percentile,
            None, self._undo, self._redo, spacing=4,
        )  # fmt: skip
        steps = row(*self._step_buttons(), None, self._versions, spacing=4)
        slices = row(*self._slice_buttons(), self._progress, spacing=4)
        both = column(upper, steps, slices, spacing=2)
        both.setContentsMargins(GRID, 4, GRID, 4)
        self._tools.setLayout(both)

    def _step_buttons(self) -> list[QToolButton]:
        desk = self._desk
        for name, (text, tip) in STEPS.items():
            self._steps.append(self._button(text, tip, lambda name=name: run_step(desk, name)))  # type: ignore[misc]
        return self._steps

    def _slice_buttons(self) -> list[QWidget]:
        desk = self._desk
        self._slice = label("", "heading")
        self._slice.setFont(tabular(self._slice.font()))
        self._slice.setFixedWidth(SLICE_WIDTH)
        made: list[QWidget] = [self._slice]
        for verdict, (text, tip) in VERDICTS.items():
            button = self._button(text, tip, lambda verdict=verdict: desk.say(verdict))  # type: ignore[misc]
            self._verdicts[verdict] = button
            made.append(button)
        self._uncertain = self._button("Next uncertain", NEXT_TIP, desk.next_uncertain)
        return [*made, self._uncertain]

    def _make_notice(self) -> None:
        self._notice.setProperty("role", "bar")
        self._notice.setProperty("level", "warning")
        self._notice_text = label("", wrap=True)
        keep = QPushButton("Keep them")
        keep.clicked.connect(self._dismiss)
        back = QPushButton("Go back to the last version")
        back.clicked.connect(self._go_back)
        line = row(self._notice_text, back, keep)
        line.setContentsMargins(GRID, 4, GRID, 4)
        line.setStretch(0, 1)
        self._notice.setLayout(line)
        self._back = back

    @staticmethod
    def _button(text: str, tip: str, call: Callable[[], object], checkable: bool = False) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setToolTip(tip)
        button.setCheckable(checkable)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.clicked.connect(lambda _on=False: call())
        return button

    # Keeping it up

    def refresh(self) -> None:
        """Show what can be done now."""
        desk = self._desk
        correction = desk.correction
        self.setVisible(desk.active)
        if not desk.active:
            return
        self._tools.setVisible(correction is not None)
        self._begin_line.setVisible(correction is None)
        self._show_notice()
        if correction is None:
            self._show_begin()
        else:
            self._show_tools()

    def _show_begin(self) -> None:
        runs = self._desk.runs
        busy = self._desk.correcting.busy
        self._hint.setText("Loading ..." if busy else BEGIN_HINT if runs else NO_RUN)
        self._begin.setVisible(bool(runs))
        self._begin.setEnabled(not busy)
        self._runs.setVisible(len(runs) > 1)
        keys = [run.key for run in runs]
        if [self._runs.itemData(n) for n in range(self._runs.count())] != keys:
            self._runs.clear()
            for run in runs:
                self._runs.addItem(run.title, run.key)
            self._runs.setCurrentIndex(len(runs) - 1)

    def _begin_run(self) -> None:
        chosen = self._runs.currentData()
        self._desk.begin(next((run for run in self._desk.runs if run.key == chosen), None))

    def _show_tools(self) -> None:
        desk, tool, correction = self._desk, self._tool, self._desk.correction
        if correction is None:
            return
        for button, on in ((self._brush, tool.paint == "brush"), (self._eraser, tool.paint == "eraser")):
            button.setChecked(on)
        self._solid.setChecked(tool.solid)
        with QSignalBlocker(self._size), QSignalBlocker(self._percentile):
            self._size.setValue(to_steps(tool.radius_mm))
            self._percentile.setValue(tool.guide_percentile)
        self._size_text.setText(f"{tool.radius_mm:.1f} mm")
        self._guide.setCurrentIndex(self._guide.findData(tool.guide))
        self._percentile.setVisible(tool.guide == "heatmap")
        ready = desk.ready
        for step in (*self._steps, *self._verdicts.values()):
            step.setEnabled(ready)
        for button, text, key in (
            (self._undo, correction.undo_text, "Ctrl+Z"),
            (self._redo, correction.redo_text, "Ctrl+Y"),
        ):
            button.setEnabled(ready and bool(text))
            button.setToolTip(
                f"{button.text()} {text.lower()} ({key})" if text else f"Nothing to {button.text().lower()}"
            )
        state = desk.state
        self._slice.setText(
            f"  {GLYPHS.get(state, '')} Slice {desk.index + 1}: {STATE_NAMES[state]} ".replace("  ", " ")
        )
        self._show_progress()

    def _show_progress(self) -> None:
        correction = self._desk.correction
        if correction is None:
            return
        relevant, counts = self._desk.relevant(), correction.counts()
        decided = sum(counts[state] for state in GLYPHS if state is not SliceState.INTERPOLATED)
        parts = [f"{glyph} {counts[state]}" for state, glyph in GLYPHS.items() if counts[state]]
        unsaved = self._desk.correcting.unsaved
        told = f"{decided} of {int(relevant.sum())} slices decided"
        self._progress.setText("   ".join([*parts, told] + ([f"{unsaved} steps not saved"] if unsaved else [])))
        meant = "\n".join(f"{glyph} {STATE_NAMES[state]}: {counts[state]}" for state, glyph in GLYPHS.items())
        self._progress.setToolTip(meant)

    # Versions, and what a crash left

    def _list_versions(self) -> None:
        menu = self._versions.menu()
        menu.clear()
        keep = menu.addAction("Keep this state")
        keep.triggered.connect(lambda: self._desk.correcting.keep_version(f"Kept at {datetime.now():%H:%M}"))
        menu.addSeparator()
        for version in self._desk.correcting.versions():
            self._offer(menu, version)

    def _offer(self, menu: QMenu, version: Version) -> None:
        when = datetime.fromtimestamp(version.at)
        counts = {state: version.states.count(state) for state in GLYPHS}
        told = "  ".join(f"{GLYPHS[state]} {count}" for state, count in counts.items() if count)
        entry = menu.addAction(f"{when:%Y-%m-%d %H:%M}  {version.name}  {told}")
        entry.setToolTip("Bring this state back; undo takes you here again")
        entry.triggered.connect(lambda: self._desk.correcting.go_back(version))

    def _show_notice(self) -> None:
        at = self._desk.correcting.interrupted
        self._notice.setVisible(at is not None and self._desk.correction is not None)
        if at is not None and not self._notice.isHidden():
            when = f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M}"
            self._notice_text.setText(
                f"BrainViewer ended unexpectedly. All corrections up to {when} are restored; undo goes back one by one."
            )
            self._back.setEnabled(bool(self._desk.correcting.versions()))

    def _dismiss(self) -> None:
        self._desk.correcting.interrupted = None
        self.refresh()

    def _go_back(self) -> None:
        kept = self._desk.correcting.versions()
        if kept:
            self._desk.correcting.go_back(kept[0])
        self._dismiss()


def to_radius(steps: int) -> float:
    """Slider position -> radius of the brush in millimetres."""
    return round(SMALLEST_MM * float((LARGEST_MM / SMALLEST_MM) ** (steps / SIZE_STEPS)), 2)


def to_steps(radius_mm: float) -> int:
    """Radius of the brush -> slider position."""
    return round(SIZE_STEPS * log(radius_mm / SMALLEST_MM) / log(LARGEST_MM / SMALLEST_MM))


STEPS = {
    "fill": ("Fill", "Fill the holes of the mask (L)"),
    "remove_island": ("Remove island", "Remove the connected part under the crosshair (Shift+K)"),
    "keep_island": ("Keep island", "Keep only the connected part under the crosshair (K)"),
    "grow": ("Grow", "Grow by a voxel, 1 mm at least (+)"),
    "shrink": ("Shrink", "Shrink by a voxel, 1 mm at least (-)"),
    "smooth": ("Smooth", "Round off the outline (S)"),
    "interpolate": ("Interpolate", "Make the slices between the decided ones around this slice (N)"),
    "copy": ("Copy on", "Copy this slice's mask to the next slice and go there (P)"),
}
VERDICTS = {
    "accept": ("Accept", "Let the slice stand as it is now (Enter)"),
    "confirm": ("As it was", "The automatic mask of this slice is right (V)"),
    "reject": ("Healthy", "Nothing abnormal in this slice: empty its mask (Backspace)"),
    "reopen": ("Reopen", "Take back everything said about this slice (Shift+V)"),
}
NEXT_TIP = "Go to the undecided slice closest to the threshold, or that the runs disagree about most (U)"


def run_step(desk: CorrectDesk, name: str) -> None:
    """A step of STEPS."""
    if name in OPERATIONS:
        desk.operate(name)
    elif name == "interpolate":
        desk.interpolate()
    else:
        desk.copy(1)
