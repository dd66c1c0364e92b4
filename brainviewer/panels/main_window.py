"""The window: menus, panels around the views, messages, and the commands only a window can carry out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QByteArray, QPoint, Qt, QUrl, Signal
from PySide6.QtGui import (
    QCloseEvent,
    QDesktopServices,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QGuiApplication,
)
from PySide6.QtWidgets import QDockWidget, QFileDialog, QMainWindow, QMenu, QMessageBox, QWidget

from brainviewer.panels.docks import dock
from brainviewer.panels.engines import EnginesPanel
from brainviewer.panels.layers import LayersPanel
from brainviewer.panels.message_bar import MessageBar
from brainviewer.panels.parts import column, label, row
from brainviewer.panels.status import StatusBar
from brainviewer.panels.studies import StudiesPanel
from brainviewer.panels.theme import Theme
from brainviewer.panels.viewport import Viewport
from brainviewer.panels.workspaces import Workspaces
from brainviewer.storage import folders
from brainviewer.storage.settings import Settings

TITLE = "BrainViewer"
ITERATIONS = "Iterations"
FILES = "Scans (*.dcm *.DCM *.nii *.nii.gz *.zip *.png *.jpg *.jpeg DICOMDIR);;All files (*)"

MASKS = "Masks (*.nii *.nii.gz *.dcm);;All files (*)"


class MainWindow(QMainWindow):
    """Arranges the panels it is given.

    Signals:
        open_requested(object): files or folders were chosen or dropped (list of Path).
        mask_chosen(Path), model_chosen(Path), picture_chosen(Path): files for the flows.
        demo_requested, cancel_requested: commands for the flows.
        closing: the last chance to store and to stop work.
    """

    open_requested = Signal(object)
    mask_chosen = Signal(object)
    demo_requested = Signal()
    model_chosen = Signal(object)
    picture_chosen = Signal(object)
    cancel_requested = Signal()
    keys_requested = Signal()
    commands_requested = Signal()
    about_requested = Signal()
    archives_requested = Signal()
    audit_requested = Signal()
    closing = Signal()

    def __init__(self, settings: Settings, theme: Theme) -> None:
        super().__init__()
        self._settings, self._theme = settings, theme
        self._docks: dict[str, QDockWidget] = {}
        self._before_images_only: QByteArray | None = None
        self._first_layout = QByteArray()
        self._iterations = False
        self.setWindowTitle(TITLE)
        self.setAcceptDrops(True)
        self.setDockNestingEnabled(True)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)

    def arrange(
        self,
        viewport: Viewport,
        workspaces: Workspaces,
        studies: StudiesPanel,
        engines: EnginesPanel,
        layers: LayersPanel,
        strip: QWidget,
        findings: QWidget,
        queue: QWidget,
        iterations: QWidget,
        message_bar: MessageBar,
        status: StatusBar,
    ) -> None:
        """Put everything in its place, or where the user had it last."""
        self.viewport = viewport
        centre = QWidget()
        layout = column(message_bar, workspaces, spacing=0)
        layout.setStretchFactor(workspaces, 1)
        self._switcher = workspaces.switcher
        centre.setLayout(layout)
        self.setCentralWidget(centre)
        self.setStatusBar(status)
        left, right = Qt.DockWidgetArea.LeftDockWidgetArea, Qt.DockWidgetArea.RightDockWidgetArea
        bottom = Qt.DockWidgetArea.BottomDockWidgetArea
        self._add_dock(left, dock("Studies", studies, self._theme, width=240))
        self._add_dock(left, dock(ITERATIONS, iterations, self._theme, scroll=True, width=240))
        self._add_dock(right, dock("Engines", engines, self._theme, scroll=True, width=272))
        self._add_dock(right, dock("Layers", layers, self._theme, scroll=True, width=272))
        self._add_dock(bottom, dock("Slice scores", strip, self._theme))
        self._add_dock(bottom, dock("Findings", findings, self._theme))
        self._add_dock(bottom, dock("Queue", queue, self._theme))
        self.splitDockWidget(self._docks["Slice scores"], self._docks["Findings"], Qt.Orientation.Horizontal)
        self.tabifyDockWidget(self._docks["Findings"], self._docks["Queue"])
        self._docks["Findings"].raise_()
        # Side panels reach down to the status bar; the strip lies under the views only.
        for corner, area in (
            (Qt.Corner.BottomLeftCorner, left),
            (Qt.Corner.BottomRightCorner, right),
        ):
            self.setCorner(corner, area)
        self._size()
        self._first_layout = self.saveState()
        if self._settings.window_geometry:
            self.restoreGeometry(QByteArray.fromBase64(self._settings.window_geometry.encode()))
            self.restoreState(QByteArray.fromBase64(self._settings.window_state.encode()))
        self.offer_iterations(False)

    def _add_dock(self, area: Qt.DockWidgetArea, made: QDockWidget) -> None:
        self.addDockWidget(area, made)
        self._docks[made.windowTitle()] = made

    def _size(self) -> None:
        screen = QGuiApplication.primaryScreen().availableGeometry()
        self.resize(min(1560, screen.width() - 40), min(960, screen.height() - 60))
        horizontal = [self._docks["Studies"], self._docks["Engines"]]
        self.resizeDocks(horizontal, [280, 304], Qt.Orientation.Horizontal)
        bottom = [self._docks["Slice scores"], self._docks["Findings"]]
        self.resizeDocks(bottom, [184, 184], Qt.Orientation.Vertical)
        self.resizeDocks(bottom, [440, 440], Qt.Orientation.Horizontal)
        right = [self._docks["Engines"], self._docks["Layers"]]
        self.resizeDocks(right, [430, 400], Qt.Orientation.Vertical)

    def set_menus(self, menus: Sequence[QMenu]) -> None:
        """Show the menus, with the workspaces and "research use only" at the end of their line."""
        for menu in menus:
            self.menuBar().addMenu(menu)
        # Kept here as well: the menu bar alone does not keep its corner alive.
        self._research = label("Research use only", "research")
        self._research.setToolTip("Not a medical device. Nothing shown here may be used for diagnosis or treatment.")
        self._corner = QWidget()
        self._corner.setLayout(row(self._switcher, self._research, spacing=0))
        self.menuBar().setCornerWidget(self._corner)

    def show_context_menu(self, menu: QMenu, at: QPoint) -> None:
        """The menu of a right click on the views."""
        menu.popup(at)

    # Commands

    def choose_files(self) -> None:
        """Let the user choose files to open."""
        names, _ = QFileDialog.getOpenFileNames(self, "Open files", self._settings.last_folder, FILES)
        self._request([Path(name) for name in names])

    def choose_folder(self) -> None:
        """Let the user choose a folder to open."""
        name = QFileDialog.getExistingDirectory(self, "Open a folder", self._settings.last_folder)
        self._request([Path(name)] if name else [])

    def _request(self, paths: list[Path]) -> None:
        if paths:
            self._settings.last_folder = str(paths[0].parent)
            self.open_requested.emit(paths)

    def open_demo(self) -> None:
        """Open the sample study."""
        self.demo_requested.emit()

    def add_model(self) -> None:
        """Let the user choose a model to add: the model.json in its folder, or a ZIP file of one."""
        name, _ = QFileDialog.getOpenFileName(
            self, "Add a model", self._settings.last_folder, "Models (model.json *.zip)"
        )
        if name:
            chosen = Path(name)
            self.model_chosen.emit(chosen if chosen.suffix.lower() == ".zip" else chosen.parent)

    def add_mask(self) -> None:
        """Let the user choose a mask to lay over the series in view."""
        name, _ = QFileDialog.getOpenFileName(self, "Add a mask", self._settings.last_folder, MASKS)
        if name:
            self.mask_chosen.emit(Path(name))

    def save_picture(self) -> None:
        """Let the user say where the views are saved."""
        name, _ = QFileDialog.getSaveFileName(self, "Save the views", "views.png", "PNG (*.png)")
        if name:
            self.picture_chosen.emit(Path(name))

    def open_logs(self) -> None:
        """Show the folder with crash reports."""
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(folders.make(folders.log_dir()))))

    def search(self) -> None:
        """Put the keyboard into the search field of the studies."""
        made = self._docks["Studies"]
        made.show()
        panel = made.widget()
        if isinstance(panel, StudiesPanel):
            panel.focus_search()

    def panel_names(self) -> tuple[str, ...]:
        """Panels that can be hidden."""
        return tuple(self._docks)

    def panel_shown(self, name: str) -> bool:
        """True when a panel is not hidden."""
        return not self._docks[name].isHidden()

    def show_panel(self, name: str) -> None:
        """Bring a panel to the front."""
        self._docks[name].show()
        self._docks[name].raise_()

    def ask(self, title: str, question: str) -> bool:
        """Ask a question that is answered with yes or no."""
        answer = QMessageBox.question(self, title, question)
        return answer is QMessageBox.StandardButton.Yes

    def toggle_panel(self, name: str) -> None:
        """Show or hide a panel."""
        self._docks[name].setVisible(not self.panel_shown(name))

    def offer_iterations(self, there: bool) -> None:
        """Show the panel of iterations while the run in view has some; in images only mode not until that ends."""
        self._iterations = there
        if not self.images_only():
            self._docks[ITERATIONS].setVisible(there)
        if there:
            # A dock that comes back gets hardly any height by itself; its curve needs some.
            left = [self._docks["Studies"], self._docks[ITERATIONS]]
            self.resizeDocks(left, [460, 400], Qt.Orientation.Vertical)

    def images_only(self) -> bool:
        """True while all panels are hidden by F11."""
        return self._before_images_only is not None

    def toggle_images_only(self) -> None:
        """Hide all panels, or bring them back where they were."""
        if self._before_images_only is None:
            self._before_images_only = self.saveState()
            for made in self._docks.values():
                made.hide()
        else:
            self.restoreState(self._before_images_only)
            self._before_images_only = None
            self.offer_iterations(self._iterations)

    def reset_layout(self) -> None:
        """Put all panels back where they were at first."""
        self._before_images_only = None
        self.restoreState(self._first_layout)
        self._size()
        self.offer_iterations(self._iterations)

    def show_commands(self) -> None:
        """Open the command palette."""
        self.commands_requested.emit()

    def show_keys(self) -> None:
        """Open the sheet of keys."""
        self.keys_requested.emit()

    def show_archives(self) -> None:
        """Search the saved archives."""
        self.archives_requested.emit()

    def show_audit(self) -> None:
        """Show what was done when."""
        self.audit_requested.emit()

    def show_about(self) -> None:
        """Tell what this program is."""
        self.about_requested.emit()

    def cancel(self) -> None:
        """Stop work, else leave full view."""
        self.cancel_requested.emit()

    def quit(self) -> None:
        """Close the window."""
        self.close()

    def store_layout(self) -> None:
        """Write size and places of the panels into the settings."""
        if self.images_only():
            self.toggle_images_only()
        self._settings.window_geometry = self.saveGeometry().toBase64().toStdString()
        self._settings.window_state = self.saveState().toBase64().toStdString()

    # Qt's events

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Files may be dropped anywhere."""
        if _dropped(event):
            event.acceptProposedAction()
            self.viewport.empty.show_over(True)

    def dragLeaveEvent(self, _event: QDragLeaveEvent) -> None:  # noqa: N802
        """The files went elsewhere."""
        self.viewport.empty.show_over(False)

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Open what was dropped."""
        self.viewport.empty.show_over(False)
        event.acceptProposedAction()
        self._request(_dropped(event))

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Store the layout and stop all work."""
        self.closing.emit()
        super().closeEvent(event)


def _dropped(event: QDropEvent) -> list[Path]:
    return [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
