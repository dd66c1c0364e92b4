"""Studies and their series on the left: what is open, what the library holds, and what to beware of."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QLineEdit, QSplitter, QVBoxLayout, QWidget

from brainviewer.jobs.opening import Opening
from brainviewer.panels.cards import Card, CardList, picture_of
from brainviewer.panels.library import LibraryList
from brainviewer.panels.parts import column, label, line
from brainviewer.panels.theme import GRID, Theme
from brainviewer.state.session import Session
from brainviewer.storage import thumbnails
from brainviewer.study import Series
from engines import KnownError


class StudiesPanel(QWidget):
    """Search field, open series with pictures and warnings, the library.

    Signals:
        open_requested(Path): a study of the library was chosen.
    """

    open_requested = Signal(object)

    def __init__(
        self, session: Session, opening: Opening, library: LibraryList, theme: Theme, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self._opening, self._library = session, opening, library
        self._search = QLineEdit()
        self._search.setPlaceholderText("Search studies and series")
        self._search.setAccessibleName("Search studies and series")
        self._search.setClearButtonEnabled(True)
        # Files dropped here are to be opened, not to become text.
        self._search.setAcceptDrops(False)
        self._search.textChanged.connect(self.refresh)
        self._open = CardList(theme, "Series of the open studies")
        self._warnings = label("", "warning", wrap=True)
        self._build()
        self._open.chosen.connect(self._choose_series)
        library.open_requested.connect(self.open_requested)
        library.listed.connect(self._show_library)
        session.studies_changed.connect(self.refresh)
        session.series_changed.connect(self.refresh)
        session.thumbnail_changed.connect(self._keep_thumbnail)
        opening.loading_changed.connect(self.refresh)
        self.refresh()

    def _build(self) -> None:
        self._open_part = QWidget()
        _section(self._open_part, "Series", self._open)
        self._split = QSplitter(Qt.Orientation.Vertical)
        self._split.addWidget(self._open_part)
        self._split.addWidget(self._library)
        self._split.setStretchFactor(0, 3)
        self._split.setStretchFactor(1, 2)
        self._split.setChildrenCollapsible(False)
        search = column(self._search, margin=GRID)
        self._warning_part = QWidget()
        warning = column(line(), label("About this series", "caption"), self._warnings, margin=GRID)
        self._warning_part.setLayout(warning)
        outer = column(spacing=0)
        outer.addLayout(search)
        outer.addWidget(self._split, 1)
        outer.addWidget(self._warning_part)
        self.setLayout(outer)

    def focus_search(self) -> None:
        """Put the keyboard into the search field."""
        self._search.setFocus()
        self._search.selectAll()

    def refresh(self) -> None:
        """List again what is open and what fits in the library."""
        series = self._session.series
        wanted = self._search.text().casefold().strip()
        self._open.show_cards(self._series_cards(wanted), series.uid if series is not None else None)
        self._open_part.setVisible(bool(self._session.studies))
        self._library.show_fitting(wanted, frozenset(study.uid for study in self._session.studies))
        warnings = series.warnings if series is not None else ()
        self._warnings.setText("\n".join(f"\u2022 {text}" for text in warnings))
        self._warning_part.setVisible(bool(warnings))

    def _show_library(self, fitting: int) -> None:
        self._library.setVisible(fitting > 0 or not self._session.studies or self._library.narrowed)

    def _series_cards(self, wanted: str) -> list[Card]:
        cards: list[Card] = []
        for study in reversed(self._session.studies):
            own = [self._series_card(series) for series in study.series]
            own = [card for card in own if _matches(card, wanted) or wanted in study.title.casefold()]
            if own:
                title = f"{study.title}  {study.date}".strip()
                cards.append(Card(study.uid, title, heading=True, tip=str(study.path)))
                cards += own
        return cards

    def _series_card(self, series: Series) -> Card:
        loading = self._opening.loading is not None and self._opening.loading.uid == series.uid
        return Card(
            key=series.uid,
            title=series.title or "Series without a name",
            facts=("Reading ...",) if loading else facts_of(series),
            warning=_short(series.warnings),
            tip="\n".join([series.title, *facts_of(series), *series.warnings]),
            picture=picture_of(self._session.thumbnail(series.uid)),
            picture_name=series.uid if self._session.thumbnail(series.uid) is not None else "",
        )

    def _choose_series(self, uid: str) -> None:
        for study in self._session.studies:
            for series in study.series:
                if series.uid == uid:
                    self._session.choose_series(series)

    def _keep_thumbnail(self, series_uid: str) -> None:
        picture = self._session.thumbnail(series_uid)
        first = any(study.series and study.series[0].uid == series_uid for study in self._session.studies)
        try:
            if first and picture is not None:
                thumbnails.save(series_uid, picture)
        except KnownError:
            # The picture is shown all the same; only the next start will be without it.
            pass
        self.refresh()


def facts_of(series: Series) -> tuple[str, ...]:
    """Contrast and number of voxels, and their size: what the reader wants to know before opening."""
    import numpy as np

    name = series.modality or series.kind
    if series.is_picture:
        sizes = [n for n in series.shape if n != 1] or [1]
        return (f"{name}   {_times(sizes)} pixels",)
    spacing = np.linalg.norm(np.array(series.affine)[:3, :3], axis=0)
    size = f"{_times(f'{value:.3g}' for value in spacing)} mm" if series.calibrated else "voxel size unknown"
    return f"{name}   {_times(series.shape)}", size


def _times(numbers: Iterable[object]) -> str:
    return " \u00d7 ".join(map(str, numbers))


def _matches(card: Card, wanted: str) -> bool:
    return wanted in " ".join([card.title, *card.facts, card.tip]).casefold()


def _short(warnings: tuple[str, ...]) -> str:
    if len(warnings) > 1:
        return f"{len(warnings)} warnings"
    return warnings[0] if warnings else ""


def _section(part: QWidget, title: str, *content: QWidget) -> None:
    layout = QVBoxLayout(part)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(0)
    caption = label(title, "caption")
    caption.setContentsMargins(GRID, GRID, GRID, GRID // 2)
    layout.addWidget(caption)
    for widget in content:
        layout.addWidget(widget)
    layout.setStretchFactor(content[-1], 1)
