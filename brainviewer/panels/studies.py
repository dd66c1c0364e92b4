"""Studies and their series on the left: what is open, what was open lately, and what to beware of."""

from __future__ import annotations

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
        self._search = QLineEdit()
        self._search.setPlaceholderText("Search studies and series")
        self._search.setAccessibleName("Search studies and series")
        self._search.setClearButtonEnabled(True)
        self._search.textChanged.connect(self.refresh)
        self._open = CardList(theme, "Series of the open studies")
        self._recent = CardList(theme, "Recent studies")
        self._warnings = label("", "warning", wrap=True)
        self._build()
        self._open.selectionModel().currentChanged.connect(self._choose_series)
        self._recent.clicked.connect(self._choose_recent)
        self._recent.activated.connect(self._choose_recent)
        session.studies_changed.connect(self.refresh)
        session.series_changed.connect(self.refresh)
        session.thumbnail_changed.connect(self._keep_thumbnail)
        opening.opened.connect(self._remember)
        opening.loading_changed.connect(self.refresh)
        self.refresh()

    def _build(self) -> None:
        self._open_part, self._recent_part = QWidget(), QWidget()
        _section(self._open_part, "Series", self._open)
        _section(self._recent_part, "Recent studies", self._recent)
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
        cards = [card for card in map(_recent_card, self._recent_studies()) if _matches(card, wanted)]
        self._recent.show_cards(cards)
        self._recent_part.setVisible(bool(cards) or not self._session.studies)
        warnings = series.warnings if series is not None else ()
        self._warnings.setText("\n".join(f"\u2022 {text}" for text in warnings))
        self._warning_part.setVisible(bool(warnings))

    def _recent_studies(self) -> list[recent.RecentStudy]:
        open_paths = {study.path.resolve() for study in self._session.studies}
        return [study for study in recent.load() if study.path not in open_paths]

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
            facts="reading ..." if loading else facts_of(series),
            warning=_short(series.warnings),
            tip="\n".join([series.title, facts_of(series), *series.warnings]),
            picture=picture_of(self._session.thumbnail(series.uid)),
        )

    def _choose_series(self, index: QModelIndex) -> None:
        card: Card | None = index.data(CARD_ROLE)
        if card is None:
            return
        for study in self._session.studies:
            for series in study.series:
                if series.uid == card.key:
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
        self.refresh()

    def _keep_thumbnail(self, series_uid: str) -> None:
        picture = self._session.thumbnail(series_uid)
        if picture is not None and any(s.series and s.series[0].uid == series_uid for s in self._session.studies):
            try:
                thumbnails.save(series_uid, picture)
            except KnownError:
                return
        self.refresh()


def facts_of(series: Series) -> str:
    """Contrast, number of voxels and their size, as the reader wants to see them before opening."""
    import numpy as np

    i, j, k = series.shape
    name = series.modality or series.kind
    if series.is_picture:
        sizes = [n for n in series.shape if n != 1] or [1]
        size = " \u00d7 ".join(map(str, sizes))
        return f"{name}  {size} pixels"
    spacing = np.linalg.norm(np.array(series.affine)[:3, :3], axis=0)
    size = " \u00d7 ".join(f"{value:.3g}" for value in spacing) + " mm" if series.calibrated else "size unknown"
    return f"{name}  {i} \u00d7 {j} \u00d7 {k}  {size}"


def _recent_card(study: recent.RecentStudy) -> Card:
    missing = study.missing
    when = study.opened.astimezone().strftime("%d %b %Y, %H:%M")
    what = f"{study.modality}, {study.series} series" if study.series > 1 else study.modality
    return Card(
        key=str(study.path),
        title=study.title,
        facts=f"{what}  {when}".strip(),
        warning="not found" if missing else "",
        tip=f"{study.path}\n{'The files are not there any more.' if missing else 'Click to open.'}",
        picture=picture_of(thumbnails.load(study.thumbnail)),
        dimmed=missing,
    )


def _matches(card: Card, wanted: str) -> bool:
    return wanted in f"{card.title} {card.facts} {card.tip}".casefold()


def _short(warnings: tuple[str, ...]) -> str:
    if len(warnings) > 1:
        return f"{len(warnings)} warnings"
    return warnings[0] if warnings else ""


def _section(part: QWidget, title: str, content: QWidget) -> None:
    layout = QVBoxLayout(part)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(0)
    caption = label(title, "caption")
    caption.setContentsMargins(GRID, GRID, GRID, GRID // 2)
    layout.addWidget(caption)
    layout.addWidget(content, 1)
