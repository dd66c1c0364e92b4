"""A list of cards: small picture, bold title, a line of facts, and a warning where there is one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QImage, QPainter, QPixmap, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QAbstractItemView, QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from brainviewer.panels.theme import GRID, Theme

PICTURE = 56
CARD_ROLE = Qt.ItemDataRole.UserRole + 1


@dataclass(frozen=True, slots=True)
class Card:
    """What a card shows.

    key: what it stands for. facts: lines under the title. picture_name: two cards with the same one show the same
    picture. heading: a title over others, without picture; it cannot be chosen. dimmed: not at hand.
    """

    key: Any
    title: str
    facts: tuple[str, ...] = ()
    warning: str = ""
    tip: str = ""
    picture: QPixmap | None = field(default=None, compare=False)
    picture_name: str = ""
    heading: bool = False
    dimmed: bool = False


def picture_of(grey: NDArray[np.uint8] | None) -> QPixmap | None:
    """A thumbnail (uint8 (h, w)) as a pixmap."""
    if grey is None:
        return None
    grey = np.ascontiguousarray(grey)
    height, width = grey.shape
    image = QImage(grey.data, width, height, width, QImage.Format.Format_Grayscale8)
    return QPixmap.fromImage(image.copy())


class _Painter(QStyledItemDelegate):
    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:  # noqa: N802
        card: Card = index.data(CARD_ROLE)
        line = option.fontMetrics.height()
        if card.heading:
            return QSize(0, line + 2 * GRID)
        lines = 1 + len(card.facts) + bool(card.warning)
        return QSize(0, max(PICTURE, lines * (line + 2)) + 2 * GRID)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        card: Card = index.data(CARD_ROLE)
        painter.save()
        if card.heading:
            self._heading(painter, option, card)
        else:
            self._card(painter, option, card)
        painter.restore()

    def _heading(self, painter: QPainter, option: QStyleOptionViewItem, card: Card) -> None:
        painter.setFont(_bold(option.font))
        painter.setPen(QColor(self._theme.colours.muted))
        area = option.rect.adjusted(GRID, GRID // 2, -GRID, 0)
        text = painter.fontMetrics().elidedText(card.title, Qt.TextElideMode.ElideRight, area.width())
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, text)

    def _card(self, painter: QPainter, option: QStyleOptionViewItem, card: Card) -> None:
        colours = self._theme.colours
        area = option.rect
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        if selected or option.state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(area, QColor(colours.raised))
        if selected:
            painter.fillRect(QRect(area.left(), area.top(), 3, area.height()), QColor(colours.accent))
        if option.state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(QColor(colours.accent))
            painter.drawRect(area.adjusted(0, 0, -1, -1))
        place = QRect(area.left() + GRID + 4, area.top() + GRID, PICTURE, PICTURE)
        self._picture(painter, place, card)
        text = area.adjusted(place.right() - area.left() + 1 + GRID + 4, GRID, -GRID, -GRID)
        lines = [(card.title, colours.muted if card.dimmed else colours.text, _bold(option.font))]
        lines += [(fact, colours.muted, option.font) for fact in card.facts]
        if card.warning:
            lines.append(("\u26a0 " + card.warning, colours.warning, option.font))
        self._lines(painter, text, lines)

    def _picture(self, painter: QPainter, place: QRect, card: Card) -> None:
        painter.fillRect(place, Qt.GlobalColor.black)
        if card.picture is None:
            icon = self._theme.pixmap("brain", 24, "#5a626c")
            painter.drawPixmap(place.center().x() - 11, place.center().y() - 11, icon)
            return
        size = card.picture.size().scaled(place.size(), Qt.AspectRatioMode.KeepAspectRatio)
        spot = QRect(place.left(), place.top(), size.width(), size.height())
        spot.moveCenter(place.center())
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setOpacity(0.4 if card.dimmed else 1.0)
        painter.drawPixmap(spot, card.picture)
        painter.setOpacity(1.0)

    def _lines(self, painter: QPainter, area: QRect, lines: list[tuple[str, str, QFont]]) -> None:
        height = painter.fontMetrics().height() + 2
        top = area.top() + max(0, (area.height() - height * len(lines)) // 2)
        for text, colour, font in lines:
            painter.setFont(font)
            painter.setPen(QColor(colour))
            shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, area.width())
            painter.drawText(QRect(area.left(), top, area.width(), height), Qt.AlignmentFlag.AlignVCenter, shown)
            top += height


def _bold(font: QFont) -> QFont:
    bold = QFont(font)
    bold.setWeight(QFont.Weight.DemiBold)
    return bold


class CardList(QListView):
    """Cards below each other, chosen with a click or the arrow keys.

    Signals:
        chosen(object): the user went to the card with this key (not sent for changes made by the program).
    """

    chosen = Signal(object)

    def __init__(self, theme: Theme, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._items = QStandardItemModel(self)
        self._by_program = False
        self.setModel(self._items)
        self.setItemDelegate(_Painter(theme, self))
        self.setAccessibleName(name)
        self.setMouseTracking(True)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.selectionModel().currentChanged.connect(self._tell)
        theme.changed.connect(self.viewport().update)

    @property
    def cards(self) -> list[Card]:
        """What is listed."""
        return [self._items.index(row, 0).data(CARD_ROLE) for row in range(self._items.rowCount())]

    def show_cards(self, cards: list[Card], chosen: Any = None) -> None:
        """List other cards; `chosen` is the key of the one to mark."""
        self._by_program = True
        for row, card in enumerate(cards):
            if row >= self._items.rowCount():
                self._items.appendRow(QStandardItem())
            if self._items.item(row).data(CARD_ROLE) != card:
                _write(self._items.item(row), card)
        self._items.setRowCount(len(cards))
        at = next((row for row, card in enumerate(cards) if not card.heading and card.key == chosen), None)
        if chosen is not None and at is not None:
            self.setCurrentIndex(self._items.index(at, 0))
        else:
            self.setCurrentIndex(QModelIndex())
        self._by_program = False

    def _tell(self, index: QModelIndex) -> None:
        card: Card | None = index.data(CARD_ROLE)
        if card is not None and not self._by_program:
            self.chosen.emit(card.key)


def _write(item: QStandardItem, card: Card) -> None:
    item.setData(card, CARD_ROLE)
    item.setText(card.title)
    item.setToolTip(card.tip)
    item.setData(", ".join([card.title, *card.facts, card.warning]), Qt.ItemDataRole.AccessibleTextRole)
    enabled = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
    item.setFlags(Qt.ItemFlag.NoItemFlags if card.heading else enabled)
