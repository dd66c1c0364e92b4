"""What commands work with, and what they ask of the window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from brainviewer.jobs.detecting import Detecting
from brainviewer.jobs.opening import Opening
from brainviewer.panels.engines import EnginesPanel
from brainviewer.panels.theme import Theme
from brainviewer.panels.viewport import Viewport
from brainviewer.plots.slice_scores import SliceScoreStrip
from brainviewer.state import Cursor, Display, Tool
from brainviewer.state.messages import Messages
from brainviewer.state.session import Session


class WindowCommands(Protocol):
    """Commands only the window itself can carry out."""

    def choose_files(self) -> None: ...
    def choose_folder(self) -> None: ...
    def open_demo(self) -> None: ...
    def add_model(self) -> None: ...
    def save_picture(self) -> None: ...
    def open_logs(self) -> None: ...
    def search(self) -> None: ...
    def toggle_images_only(self) -> None: ...
    def images_only(self) -> bool: ...
    def reset_layout(self) -> None: ...
    def toggle_panel(self, name: str) -> None: ...
    def panel_shown(self, name: str) -> bool: ...
    def panel_names(self) -> tuple[str, ...]: ...
    def show_commands(self) -> None: ...
    def show_keys(self) -> None: ...
    def show_about(self) -> None: ...
    def cancel(self) -> None: ...
    def quit(self) -> None: ...


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
    strip: SliceScoreStrip
    engines: EnginesPanel
    window: WindowCommands

    def has_volume(self) -> bool:
        """True when there is something on the views."""
        return self.session.volume is not None

    def has_run(self) -> bool:
        """True when a heatmap is at hand."""
        return self.session.active_run is not None
