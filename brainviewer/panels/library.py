"""The library below the open series: studies of earlier days with their runs and tags, filtered as one types."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QModelIndex, QPoint, Qt, Signal
from PySide6.QtGui import QPixmap
from PySide6.QtWidgets import QComboBox, QInputDialog, QMenu, QMessageBox, QWidget

from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.keeping import Keeping
from brainviewer.panels.cards import CARD_ROLE, Card, CardList, picture_of
from brainviewer.panels.parts import IconButton, column, label, row
from brainviewer.panels.theme import GRID, Theme
from brainviewer.storage import thumbnails
from brainviewer.storage.library import StudyEntry

EVERYTHING, WITH_RUNS = "All studies", "With runs"
NOTHING_YET, NOTHING_FITS = "Studies you open appear here.", "Nothing in the library fits."


class LibraryList(QWidget):
    """Studies of the library that fit the search and the filter.

    Signals:
        open_requested(Path): a study was chosen. listed(int): how many fit.
        run_requested(object): the engines are to run on these studies (list of StudyEntry).
    """

    open_requested = Signal(object)
    run_requested = Signal(object)
    listed = Signal(int)

    def __init__(self, keeping: Keeping, reading: WorkerHost, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._keeping, self._reading = keeping, reading
        self._text, self._open_now = "", frozenset[str]()
        self._entries: dict[str, StudyEntry] = {}
        self._missing: frozenset[Path] = frozenset()
        self._checked: set[Path] = set()
        self._pictures: dict[str, QPixmap] = {}
        self._filter = QComboBox()
        self._filter.setAccessibleName("Which studies of the library are listed")
        self._filter.setToolTip("List all studies, those with kept runs, or those with a tag")
        self._filter.activated.connect(self.refresh)
        self._nothing = label(NOTHING_YET, "muted", wrap=True)
        self._nothing.setContentsMargins(GRID, 0, GRID, GRID)
        self._cards = CardList(theme, "Studies of the library")
        self._cards.clicked.connect(self._choose)
        self._cards.activated.connect(self._choose)
        self._cards.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self._cards.customContextMenuRequested.connect(self._menu)
        caption = label("Library", "caption")
        self._run = IconButton(theme, "play", "Run the engines on all studies listed here")
        self._run.clicked.connect(lambda: self.run_requested.emit(self._at_hand()))
        head = row(caption, None, self._run, self._filter)
        head.setContentsMargins(GRID, GRID // 2, GRID, GRID // 2)
        layout = column(spacing=0)
        layout.addLayout(head)
        layout.addWidget(self._nothing)
        layout.addWidget(self._cards, 1)
        self.setLayout(layout)
        keeping.changed.connect(self._reload)
        self._reload()

    @property
    def cards(self) -> list[Card]:
        """What is listed."""
        return self._cards.cards

    @property
    def narrowed(self) -> bool:
        """True when a search or filter leaves studies out."""
        return bool(self._text) or self._filter.currentIndex() > 0

    def show_fitting(self, text: str, open_now: frozenset[str]) -> None:
        """List what fits a search text; the studies that are open now (by UID) are not listed a second time."""
        if (text, open_now) != (self._text, self._open_now):
            self._text, self._open_now = text, open_now
            self.refresh()

    def refresh(self) -> None:
        """List again."""
        chosen = self._filter.currentText()
        tag = self._filter.currentData() or ""
        found = self._keeping.library.studies(self._text, tag=tag, only_with_runs=chosen == WITH_RUNS)
        self._entries = {entry.uid: entry for entry in found if entry.uid not in self._open_now}
        self._cards.show_cards([self._card(entry) for entry in self._entries.values()])
        self._nothing.setText(NOTHING_FITS if self.narrowed else NOTHING_YET)
        self._nothing.setVisible(not self._entries)
        self._run.setEnabled(bool(self._entries))
        self._look_for_missing()
        self.listed.emit(len(self._entries))

    def _at_hand(self) -> list[StudyEntry]:
        return [entry for entry in self._entries.values() if entry.path not in self._missing]

    def _reload(self) -> None:
        chosen = self._filter.currentText()
        self._filter.clear()
        for text in (EVERYTHING, WITH_RUNS):
            self._filter.addItem(text)
        for tag in self._keeping.library.tags():
            self._filter.addItem(f"Tag: {tag}", tag)
        self._filter.setCurrentIndex(max(0, self._filter.findText(chosen)))
        self.refresh()

    def _look_for_missing(self) -> None:
        # In the worker: a drive that is gone may take seconds to say so.
        unknown = {entry.path for entry in self._entries.values()} - self._checked
        if unknown:
            self._checked |= unknown
            job = self._reading.submit("", "brainviewer.jobs.tasks:missing", sorted(unknown))
            job.finished.connect(self._show_missing)

    def _show_missing(self, missing: frozenset[Path]) -> None:
        if missing:
            self._missing |= missing
            self.refresh()

    def _card(self, entry: StudyEntry) -> Card:
        missing = entry.path in self._missing
        when = entry.opened.astimezone().strftime("%d %b %Y, %H:%M")
        counts = [f"{entry.series} series"] * (entry.series > 1) + [f"{entry.runs} runs"] * (entry.runs > 1)
        counts += ["1 run"] * (entry.runs == 1)
        facts = [", ".join([entry.modality, *counts]), when]
        if entry.tags:
            facts.append("  ".join(f"#{tag}" for tag in entry.tags))
        return Card(
            key=entry.uid,
            title=entry.title,
            facts=tuple(facts),
            warning="not found" if missing else "",
            tip=f"{entry.path}\n{'The files are not there any more.' if missing else 'Click to open.'}",
            picture=self._picture(entry.thumbnail),
            picture_name=entry.thumbnail,
            dimmed=missing,
        )

    def _picture(self, name: str) -> QPixmap | None:
        """Read from disk once: 200 of them on every key of a search would hold up the window."""
        if name not in self._pictures and (picture := picture_of(thumbnails.load(name))) is not None:
            self._pictures[name] = picture
        return self._pictures.get(name)

    def _choose(self, index: QModelIndex) -> None:
        entry = self._entries[index.data(CARD_ROLE).key]
        # Looked for anew: the drive may be there by now.
        self._checked.discard(entry.path)
        self._missing -= {entry.path}
        self.open_requested.emit(entry.path)

    def _menu(self, at: QPoint) -> None:
        index = self._cards.indexAt(at)
        if index.isValid():
            entry = self._entries[index.data(CARD_ROLE).key]
            menu = QMenu(self)
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            menu.addAction("Open", lambda: self._choose(index))
            menu.addAction("Run the engines on it", lambda: self.run_requested.emit([entry]))
            menu.addAction("Tags ...", lambda: self._edit_tags(entry))
            menu.addAction("Take out of the library", lambda: self._forget(entry))
            menu.popup(self._cards.viewport().mapToGlobal(at))

    def _edit_tags(self, entry: StudyEntry) -> None:
        text, said_yes = QInputDialog.getText(
            self, "Tags", f"Tags of {entry.title}, separated by commas:", text=", ".join(entry.tags)
        )
        if said_yes:
            self._keeping.tag(entry.uid, tuple(text.split(",")))

    def _forget(self, entry: StudyEntry) -> None:
        kept = f" Its {entry.runs} kept runs are deleted." if entry.runs > 1 else " Its kept run is deleted."
        question = f"Take {entry.title} out of the library?{kept if entry.runs else ''} The scan itself stays."
        if QMessageBox.question(self, "Take out of the library", question) is QMessageBox.StandardButton.Yes:
            self._keeping.forget(entry.uid)
