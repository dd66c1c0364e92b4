"""Runs of every engine that fits: on the sample study, on studies of the library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject, QTimer

import engines
from brainviewer.jobs.aligning import Aligning
from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.keeping import Keeping
from brainviewer.jobs.opening import Opening
from brainviewer.jobs.queueing import Queueing
from brainviewer.panels.engines import EnginesPanel, run_title
from brainviewer.panels.main_window import MainWindow
from brainviewer.panels.workspaces import Workspaces
from brainviewer.state.messages import Messages
from brainviewer.state.session import Session
from brainviewer.storage.library import StudyEntry
from brainviewer.storage.queue import Order


class Batch(QObject):
    """What a user starts with one click and what takes many runs."""

    def __init__(
        self,
        session: Session,
        opening: Opening,
        queueing: Queueing,
        keeping: Keeping,
        aligning: Aligning,
        host: WorkerHost,
        messages: Messages,
        panel: EnginesPanel,
        workspaces: Workspaces,
        window: MainWindow,
    ) -> None:
        super().__init__()
        self._session, self._opening, self._queueing, self._keeping = session, opening, queueing, keeping
        self._aligning, self._host, self._messages = aligning, host, messages
        self._panel, self._workspaces, self._window = panel, workspaces, window

    def queue(self, studies: Sequence[StudyEntry]) -> None:
        """Let the engines run on studies of the library, if the user says yes."""
        orders = self._orders(studies)
        if not orders:
            self._messages.note("There is nothing to run: no model fits, or its run is in the library already.")
            return
        count = len({order.study for order in orders})
        runs = "1 run" if len(orders) == 1 else f"{len(orders)} runs of {len({one.engine for one in orders})} engines"
        where = "" if count == 1 else f" on {count} studies"
        if self._window.ask("Queue", f"Queue {runs}{where}? They go on in the background, after a restart too."):
            self._queueing.add(orders)
            self._window.show_panel("Queue")

    def open_demo(self) -> None:
        """Make the sample study where it is missing (some seconds, once), open it, and run what fits on it."""

        def then(folder: Path) -> None:
            self.run_when_loaded()
            self._opening.open([folder])

        # Not in the reading worker: other studies can be opened meanwhile.
        job = self._host.submit("Making the sample study", "brainviewer.demo:cached")
        job.finished.connect(then)
        job.failed.connect(self._messages.error)

    def run_when_loaded(self) -> None:
        """As soon as a volume is complete let every engine that fits run on its study; show them side by side."""
        arrivals = (self._session.volume_changed, self._session.volume_filled)

        def run() -> None:
            if self._session.complete:
                for arrived in arrivals:
                    arrived.disconnect(run)
                # The panels listen to the same signals and must have seen the volume first.
                QTimer.singleShot(0, self, self._run_everything)

        for arrived in arrivals:
            arrived.connect(run)

    def _run_everything(self) -> None:
        study = self._session.study
        here = [one for one in self._keeping.library.studies() if study is not None and one.uid == study.uid]
        orders = self._orders(here)
        self._queueing.add(orders)
        if len(orders) > 1:
            self._messages.note(f"{len(orders)} engines run on the study, one after the other.")
        self._aligning.changed.connect(self._show_compared)
        self._show_compared()

    def _show_compared(self) -> None:
        """Show runs side by side once there are two; later the reader decides."""
        if len(self._aligning.runs) > 1:
            self._aligning.changed.disconnect(self._show_compared)
            if self._workspaces.chosen == "View":
                self._workspaces.choose("Compare")

    def _orders(self, studies: Sequence[StudyEntry]) -> list[Order]:
        cards, models = engines.cards(), self._panel.models
        titles = {one.card.digest: run_title(cards[one.card.engine].title, one) for one in models}
        return self._queueing.orders(studies, models, titles, self._panel.device)
