"""Studies and their series on the left: what is open, what was open lately, and what to beware of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PySide6.QtCore import QModelIndex, Qt, Signal
from PySide6.QtWidgets import QLineEdit, QSplitter, QVBoxLayout, QWidget

from brainviewer.jobs.opening import Opening
from brainviewer.panels.cards import CARD_ROLE, Card, CardList, picture_of
from brainviewer.panels.parts import column, label, line
from brainviewer.panels.theme import GRID, Theme
from brainviewer.state.session import Session
from brainviewer.storage import recent, thumbnails
from brainviewer.study import Series, Study
from engines import KnownError


class StudiesPanel(QWidget):
    """Search field, open series with pictures and warnings, recent studies.

    Signals:
        open_requested(Path): a recent study was chosen.
    """

    open_requested = Signal(object)

    def __init__(self, session: Session, opening: Opening, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._opening = session, opening
        self._recent_cards: list[Card] = []
        self._search = QLineEdit()
        self._search.setPlaceholderText("Search studies and series")
        self._search.setAccessibleName("Search studies and series")
        self._search.setClearButtonEnabled(True)
        # Files dropped here are to be opened, not to become text.
        self._search.setAcceptDrops(False)
        self._search.textChanged.connect(self.refresh)
        self._open = CardList(theme, "Series of the open studies")
        self._recent = CardList(theme, "Recent studies")
        self._warnings = label("", "warning", wrap=True)
        self._nothing = label("Studies you open appear here.", "muted", wrap=True)
        self._nothing.setContentsMargins(GRID, 0, GRID, GRID)
        self._build()
        self._open.chosen.connect(self._choose_series)
        self._recent.clicked.connect(self._choose_recent)
        self._recent.activated.connect(self._choose_recent)
        session.studies_changed.connect(self.refresh)
        session.series_changed.connect(self.refresh)
        session.thumbnail_changed.connect(self._keep_thumbnail)
        opening.opened.connect(self._remember)
        opening.loading_changed.connect(self.refresh)
        self.reload_recent()

    def _build(self) -> None:
        self._open_part, self._recent_part = QWidget(), QWidget()
        _section(self._open_part, "Series", self._open)
        _section(self._recent_part, "Recent studies", self._nothing, self._recent)
        self._split = QSplitter(Qt.Orientation.Vertical)
        self._split.addWidget(self._open_part)
        self._split.addWidget(self._recent_part)
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
        """List again what is open and what was open lately."""
        series = self._session.series
        wanted = self._search.text().casefold().strip()
        self._open.show_cards(self._series_cards(wanted), series.uid if series is not None else None)
        self._open_part.setVisible(bool(self._session.studies))
        open_paths = {str(study.path.resolve()) for study in self._session.studies}
        cards = [card for card in self._recent_cards if card.key not in open_paths and _matches(card, wanted)]
        self._recent.show_cards(cards)
        self._nothing.setVisible(not cards)
        self._nothing.setText("Nothing fits the search." if wanted else "Studies you open appear here.")
        self._recent_part.setVisible(bool(cards) or not self._session.studies)
        warnings = series.warnings if series is not None else ()
        self._warnings.setText("\n".join(f"\u2022 {text}" for text in warnings))
        self._warning_part.setVisible(bool(warnings))

    def reload_recent(self) -> None:
        """Read the list of recent studies again."""
        self._recent_cards = [_recent_card(study) for study in recent.load()]
        self.refresh()

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

    def _choose_recent(self, index: QModelIndex) -> None:
        card: Card = index.data(CARD_ROLE)
        self.open_requested.emit(Path(card.key))

    def _remember(self, study: Study) -> None:
        modality = ", ".join(dict.fromkeys(s.modality or s.kind for s in study.series))
        first = study.series[0].uid if study.series else ""
        try:
            recent.add(study.path, study.title, modality, len(study.series), thumbnails.name_of(first))
        except KnownError:
            # Not worth a message: the study is open, only the list will not have it.
            return
        self.reload_recent()

    def _keep_thumbnail(self, series_uid: str) -> None:
        picture = self._session.thumbnail(series_uid)
        first = any(study.series and study.series[0].uid == series_uid for study in self._session.studies)
        try:
            if first and picture is not None:
                thumbnails.save(series_uid, picture)
        except KnownError:
            # The picture is shown all the same; only the next start will be without it.
            self.refresh()
        else:
            self.reload_recent() if first else self.refresh()


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


def _recent_card(study: recent.RecentStudy) -> Card:
    missing = study.missing
    when = study.opened.astimezone().strftime("%d %b %Y, %H:%M")
    what = f"{study.modality}, {study.series} series" if study.series > 1 else study.modality
    return Card(
        key=str(study.path),
        title=study.title,
        facts=(what, when),
        warning="not found" if missing else "",
        tip=f"{study.path}\n{'The files are not there any more.' if missing else 'Click to open.'}",
        picture=picture_of(thumbnails.load(study.thumbnail)),
        picture_name=study.thumbnail,
        dimmed=missing,
    )


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
