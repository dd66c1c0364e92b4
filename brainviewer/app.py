"""The composition root: builds every part of the viewer, connects them, and knows everyone."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import psutil
from PySide6.QtCore import QPoint, QTimer
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QWidget

from brainviewer.actions.action import Commands
from brainviewer.actions.context import Context
from brainviewer.actions.menus import menus
from brainviewer.application import close_on_signals, make_application
from brainviewer.batch import Batch
from brainviewer.jobs.aligning import Aligning
from brainviewer.jobs.archives import Archives
from brainviewer.jobs.correcting import Correcting
from brainviewer.jobs.delivering import Delivering
from brainviewer.jobs.detecting import DETECT, Detecting
from brainviewer.jobs.finding import Finding
from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.keeping import Keeping
from brainviewer.jobs.mapping import Mapping
from brainviewer.jobs.masking import Masking
from brainviewer.jobs.measuring import Measuring
from brainviewer.jobs.opening import Opening
from brainviewer.jobs.queueing import TASK, Queueing
from brainviewer.jobs.training import Training
from brainviewer.panels.about import AboutBox
from brainviewer.panels.archives import ArchivesDialog
from brainviewer.panels.audit_trail import AuditTrail
from brainviewer.panels.command_palette import CommandPalette
from brainviewer.panels.compare import CompareView
from brainviewer.panels.correct_bar import CorrectBar
from brainviewer.panels.correct_desk import CorrectDesk
from brainviewer.panels.correct_files import CorrectFiles
from brainviewer.panels.engines import EnginesPanel
from brainviewer.panels.findings import FindingsPanel
from brainviewer.panels.iterations import IterationsPanel
from brainviewer.panels.key_sheet import KeySheet
from brainviewer.panels.layers import LayersPanel
from brainviewer.panels.library import LibraryList
from brainviewer.panels.main_window import TITLE, MainWindow
from brainviewer.panels.masks import MaskList
from brainviewer.panels.message_bar import MessageBar
from brainviewer.panels.parts import column
from brainviewer.panels.queue import QueuePanel
from brainviewer.panels.report import ReportDesk
from brainviewer.panels.scores import ScoresPanel
from brainviewer.panels.status import StatusBar
from brainviewer.panels.studies import StudiesPanel
from brainviewer.panels.theme import Theme
from brainviewer.panels.train import TrainView
from brainviewer.panels.viewport import Viewport
from brainviewer.panels.workspaces import Workspaces
from brainviewer.state import Cursor, Display, Tool
from brainviewer.state.masks import Masks
from brainviewer.state.messages import Level, Message, Messages
from brainviewer.state.session import Session
from brainviewer.state.turn import Turn
from brainviewer.storage import crash_log, folders, settings
from brainviewer.storage.library import open_or_in_memory
from engines import KnownError

# Hostile files may ask a codec for many gigabytes; the reading worker gets half the memory, but enough for a big CT.
READING_SHARE, READING_LEAST = 0.5, 4 << 30
STORED_DISPLAY = ("radiological", "interpolate", "palette", "opacity", "threshold", "contour")
# What a right click on the views offers.
CONTEXT_MENU = (
    "view.reset", "view.maximise", "", "view.heatmap_visible", "view.contour", "view.invert", "view.crosshair",
    "view.radiological", "", "analyse.run", "file.picture",
)  # fmt: skip


class Viewer:
    """One window with everything in it.

    detect, queued: what the engine worker calls for a run in view and for one of the queue, "package.module:function";
    tests put a small engine there.
    """

    def __init__(self, detect: str = DETECT, queued: str = TASK) -> None:
        self.settings, trouble = settings.load()
        self.theme = Theme(self.settings.theme)
        self.theme.apply()
        self.messages = Messages()
        self.cursor, self.display, self.tool = Cursor(), Display(), Tool()
        self._restore_display()
        self.session = Session()
        memory = max(READING_LEAST, int(psutil.virtual_memory().total * READING_SHARE))
        self.reading = WorkerHost("reading", memory_bytes=memory)
        # A little less urgent than the window, which must stay smooth beside it.
        self.engines = WorkerHost("engine", nice=5)
        # The network may keep a worker waiting for minutes.
        self.network = WorkerHost("archive")
        self.opening = Opening(self.session, self.messages, self.reading)
        self.archives = Archives(self.messages, self.opening, self.network)
        self.detecting = Detecting(self.session, self.messages, self.engines, detect)
        library, missing = open_or_in_memory()
        self.keeping = Keeping(
            self.session, self.messages, library, self.opening, self.detecting, self.reading, self.engines
        )
        self.queueing = Queueing(self.keeping, self.detecting, self.messages, self.engines, queued)
        self.aligning = Aligning(self.session, self.messages, self.reading)
        self.finding = Finding(self.session, self.display, self.messages, self.reading, self.aligning)
        self.masks = Masks()
        self.masking = Masking(self.session, self.masks, self.display, self.messages, self.reading, self.aligning)
        self.measuring = Measuring(self.session, self.display, self.masks, self.messages, self.reading, self.aligning)
        self.correcting = Correcting(self.session, self.display, self.tool, self.messages, self.reading)
        self.correcting.reader = self.settings.reader
        self.teaching = WorkerHost("training", nice=10)
        self.training = Training(self.keeping, self.messages, self.teaching)
        self._build()
        self._connect()
        if trouble:
            self.messages.warn(trouble)
        if missing is not None:
            self.messages.error(missing)

    def _restore_display(self) -> None:
        for name in STORED_DISPLAY:
            setattr(self.display, name, getattr(self.settings, name))
        self.tool.scheme = self.settings.scheme

    def _build(self) -> None:
        self.window = MainWindow(self.settings, self.theme)
        self.viewport = Viewport(self.session, self.cursor, self.display, self.tool, self.masks, self.theme)
        self.compare = CompareView(
            self.session, self.aligning, self.cursor, self.display, self.tool, self.masks, self._figures,
            self.viewport.view.stage,
        )  # fmt: skip
        self.workspaces = Workspaces()
        self.strip = ScoresPanel(self.cursor, self.display)
        files = CorrectFiles(self.session, self.correcting, self.settings, self.messages, self.reading, self.window)
        self.correct = CorrectDesk(
            self.session, self.cursor, self.display, self.tool, self.messages, self.correcting, self.aligning,
            self.opening, self.keeping, self.viewport, self.strip, self.reading, files,
        )  # fmt: skip
        # The same views, with tools above them while a mask is corrected.
        images = QWidget()
        images.setLayout(column(CorrectBar(self.correct, self.tool), self.viewport, spacing=0))
        self.workspaces.add("View", images, "The series in view with one heatmap (Ctrl+1)")
        self.workspaces.add("Compare", self.compare, "Runs beside each other (Ctrl+2)")
        self.workspaces.add("Correct", images, "Correct the mask of a run (Ctrl+3)")
        self.workspaces.add("Train", TrainView(self.training, self.settings), "Learn from corrections (Ctrl+4)")
        delivering = Delivering(self.session, self.display, self.messages, self.reading)
        mapping = Mapping(self.session, self.messages, self.reading)
        self.report = ReportDesk(delivering, mapping, self.session, self.display, self.theme)
        self.workspaces.add("Report", self.report, "The report as it will be printed (Ctrl+5)")
        self.workspaces.switched.connect(lambda name: self.correct.set_active(name == "Correct"))
        self.engines_panel = EnginesPanel(self.session, self.detecting, self.settings, self.theme)
        self.mask_list = MaskList(self.masks, self.masking, self.aligning, self.theme)
        self.training.promoted.connect(self.engines_panel.reload_models)
        self.layers = LayersPanel(self.session, self.display, self.mask_list)
        self.findings = FindingsPanel(self.finding, self.session, self.cursor)
        self.shelf = LibraryList(self.keeping, self.reading, self.theme)
        self.studies = StudiesPanel(self.session, self.opening, self.shelf, self.theme)
        self.message_bar = MessageBar(self.messages, self.theme)
        self.queue_panel = QueuePanel(self.queueing)
        self.iterations = IterationsPanel(self.session, self.detecting, self.viewport, self.masks)
        self.status = StatusBar(
            self.session, self.cursor, (self.reading, self.engines, self.teaching, self.network), self.theme
        )
        self.window.arrange(
            self.viewport,
            self.workspaces,
            self.studies,
            self.engines_panel,
            self.layers,
            self.strip,
            self.findings,
            self.queue_panel,
            self.iterations,
            self.message_bar,
            self.status,
        )
        context = Context(
            self.session, self.cursor, self.display, self.tool, self.messages, self.opening, self.detecting, self.theme,
            self.viewport, self.compare, self.workspaces, self.strip, self.engines_panel, self.window, self.correct,
            self.report,
        )  # fmt: skip
        self.commands = Commands(menus(context), self.window, self.viewport.view)
        shown = []
        for menu in self.commands.menus:
            made = QMenu(menu.title, self.window)
            self.commands.fill(made, menu)
            shown.append(made)
        self.window.set_menus(shown)

    def _connect(self) -> None:
        window, session, view = self.window, self.session, self.viewport.view
        self.batch = Batch(
            session, self.opening, self.queueing, self.keeping, self.aligning, self.engines, self.messages,
            self.engines_panel, self.workspaces, window,
        )  # fmt: skip
        window.open_requested.connect(self.opening.open)
        window.demo_requested.connect(self.batch.open_demo)
        window.model_chosen.connect(self._add_model)
        window.mask_chosen.connect(self.masking.add)
        self.mask_list.add_requested.connect(lambda: self.commands.run("file.mask"))
        window.picture_chosen.connect(self._save_picture)
        window.cancel_requested.connect(self._cancel)
        window.keys_requested.connect(lambda: KeySheet(self.commands, self.tool.scheme, window).exec())
        window.commands_requested.connect(lambda: CommandPalette(self.commands, window).exec())
        window.archives_requested.connect(lambda: ArchivesDialog(self.archives, window).show())
        window.audit_requested.connect(lambda: AuditTrail(self.reading, window).show())
        window.about_requested.connect(lambda: AboutBox(self.theme, window).exec())
        window.closing.connect(self.close)
        self.iterations.offered.connect(window.offer_iterations)
        self.shelf.run_requested.connect(self.batch.queue)
        self.studies.open_requested.connect(lambda path: self.opening.open([path]))
        self.viewport.presets_changed.connect(self.layers.show_presets)
        empty = self.viewport.empty
        for button, command in (
            (empty.files, "file.open"),
            (empty.folder, "file.open_folder"),
            (empty.demo, "file.demo"),
        ):
            button.clicked.connect(lambda _on=False, command=command: self.commands.run(command))
        self.engines_panel.repeat_requested.connect(self.keeping.repeat)
        self.engines_panel.add_model_requested.connect(lambda: self.commands.run("analyse.add_model"))
        view.hovered.connect(self.status.hover)
        view.context_menu_requested.connect(self._context_menu)
        # The curves get a turn of the event loop of their own, so that views and strip together make no long gap.
        self._strip_later = Turn(window)
        self._strip_later.due.connect(self._show_in_strip)
        session.volume_changed.connect(self._strip_later.start)
        session.runs_changed.connect(self._strip_later.start)
        session.series_changed.connect(self._title)
        for changed in (
            session.volume_changed,
            session.volume_filled,
            session.runs_changed,
            session.studies_changed,
            self.display.changed,
            self.detecting.changed,
            self.correct.changed,
            self.theme.changed,
        ):
            changed.connect(self._refresh_soon)
        self._sweep = QTimer(window, singleShot=True, interval=10_000)
        self._sweep.timeout.connect(self.keeping.sweep)
        self._take_up = QTimer(window, singleShot=True, interval=500)
        self._take_up.timeout.connect(self.queueing.take_up)
        self._refresh = Turn(window)
        self._refresh.due.connect(self.commands.refresh)
        self.messages.posted.connect(self._log)

    def _figures(self) -> QWidget:
        # Importing pyqtgraph takes a third of the whole start.
        from brainviewer.panels.figures import FiguresView

        return FiguresView(self.measuring, self.masks, self.messages)

    def _refresh_soon(self) -> None:
        self._refresh.start()

    def show(self) -> None:
        """Show the window, then start what the first study will need."""
        self.window.show()
        self.viewport.empty.demo.setFocus()
        QTimer.singleShot(0, self.opening.warm_up)
        QTimer.singleShot(50, self._warm_up_views)
        QTimer.singleShot(100, self.strip.warm_up)
        QTimer.singleShot(150, lambda: self.theme.warm_up(("repeat", "bin")))
        QTimer.singleShot(1500, self.window, self.correct.tell_interrupted)
        self._sweep.start()
        self._take_up.start()

    def _warm_up_views(self) -> None:
        try:
            self.viewport.warm_up()
        except KnownError as error:
            self.messages.error(error)

    def open(self, paths: Sequence[Path]) -> None:
        """Open files and folders."""
        if paths:
            self.opening.open(paths)

    def _title(self) -> None:
        study = self.session.study
        self.window.setWindowTitle(f"{study.title} \u2013 {TITLE}" if study is not None else TITLE)

    def _show_in_strip(self) -> None:
        self.strip.show_runs(self.session.volume, [(run.title, run.result) for run in self.session.runs])

    def _context_menu(self, at: QPoint) -> None:
        menu = QMenu(self.window)
        self.commands.refresh()
        actions: list[QAction] = [self.commands.qaction(name) for name in CONTEXT_MENU if name]
        for name in CONTEXT_MENU:
            if name:
                menu.addAction(actions.pop(0))
            else:
                menu.addSeparator()
        self.window.show_context_menu(menu, at)

    def _add_model(self, source: Path) -> None:
        job = self.engines.submit("Adding the model", "brainviewer.jobs.tasks:add_model", source, folders.models_dir())
        job.finished.connect(lambda _model: self.engines_panel.reload_models())
        job.failed.connect(self.messages.error)

    def _save_picture(self, path: Path) -> None:
        try:
            self.viewport.view.grab_png(path)
        except KnownError as error:
            self.messages.error(error)
        else:
            self.messages.note(f"Saved as {path.name}.")

    def _cancel(self) -> None:
        """What Esc does: stop runs, else other work, else close the message, else leave full view."""
        if self.correcting.drop_stroke():
            return
        if self.detecting.jobs:
            self.detecting.cancel_all()
        elif self.status.cancel():
            return
        elif self.message_bar.shown is not None:
            self.message_bar.dismiss()
        elif self.viewport.is_maximised():
            self.viewport.toggle_maximised()
        elif self.window.images_only():
            self.window.toggle_images_only()

    def _log(self, message: Message) -> None:
        if message.level is Level.ERROR and message.details:
            try:
                crash_log.write_text(message.details, "worker")
            except KnownError:
                return

    def on_crash(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """An exception nobody caught: keep a report, tell the user, go on."""
        sys.__excepthook__(kind, error, trace)
        if issubclass(kind, KeyboardInterrupt):
            self.window.close()
            return
        try:
            kept = f"A report is kept as {crash_log.write(kind, error, trace).name} (Help > Open the log folder)."
        except KnownError as trouble:
            kept = trouble.message
        self.messages.posted.emit(
            Message("Something went wrong inside BrainViewer; your data is safe.", kept, Level.ERROR)
        )

    def close(self) -> None:
        """Store settings and stop the workers. Called when the window closes."""
        self._sweep.stop()
        self._take_up.stop()
        self.queueing.close()
        self.window.store_layout()
        for name in STORED_DISPLAY:
            setattr(self.settings, name, getattr(self.display, name))
        self.settings.scheme, self.settings.theme = self.tool.scheme, self.theme.name
        try:
            settings.save(self.settings)
        except KnownError as error:
            sys.stderr.write(f"{error}\n")
        self.correcting.close()
        self.keeping.finish()
        self.network.shutdown()
        self.reading.shutdown()
        self.engines.shutdown()
        self.teaching.shutdown()
        self.training.finish()
        self.keeping.library.close()
        self.compare.close_vtk()
        self.viewport.view.close_vtk()


def main(paths: list[Path], demo: bool = False) -> int:
    """Open the window and stay until it closes; returns the exit status.

    demo: the paths are the sample study; run on it what fits.
    """
    app = make_application()
    viewer = Viewer()
    app.setWindowIcon(viewer.theme.icon("brain", viewer.theme.colours.accent))
    sys.excepthook = viewer.on_crash
    threading.excepthook = lambda args: QTimer.singleShot(
        0, app, lambda: viewer.on_crash(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)
    )
    close_on_signals(app, viewer.window.close)
    viewer.show()
    if demo:
        viewer.batch.run_when_loaded()
    viewer.open(paths)
    return app.exec()
