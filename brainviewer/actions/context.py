"""What commands work with."""

from __future__ import annotations

from dataclasses import dataclass

from brainviewer.jobs.detecting import Detecting
from brainviewer.jobs.opening import Opening
from brainviewer.panels.compare import CompareView
from brainviewer.panels.correct_desk import CorrectDesk
from brainviewer.panels.engines import EnginesPanel
from brainviewer.panels.main_window import MainWindow
from brainviewer.panels.report import ReportDesk
from brainviewer.panels.scores import ScoresPanel
from brainviewer.panels.theme import Theme
from brainviewer.panels.viewport import Viewport
from brainviewer.panels.workspaces import Workspaces
from brainviewer.state import Cursor, Display, Tool
from brainviewer.state.messages import Messages
from brainviewer.state.session import Session


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of one window, as the composition root connected them."""

    session: Session
    cursor: Cursor
    display: Display
    tool: Tool
    messages: Messages
    opening: Opening
    detecting: Detecting
    theme: Theme
    viewport: Viewport
    compare: CompareView
    workspaces: Workspaces
    strip: ScoresPanel
    engines: EnginesPanel
    window: MainWindow
    correct: CorrectDesk
    report: ReportDesk

    def has_volume(self) -> bool:
        """True when there is something on the views."""
        return self.session.volume is not None

    def has_run(self) -> bool:
        """True when a heatmap is at hand."""
        return self.session.active_run is not None
