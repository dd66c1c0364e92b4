"""The one file with colours and distances: dark and light, following the system.

Distances are multiples of 8 pixels (4 inside controls). One accent colour; warnings and errors also carry an icon.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from string import Template
from typing import Literal

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QGuiApplication, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtWidgets import QApplication

from brainviewer.storage import folders

GRID = 8
ThemeName = Literal["system", "light", "dark"]


@dataclass(frozen=True, slots=True)
class Colours:
    """The colours of one theme; text on panel has a contrast of at least 4.5 to 1."""

    window: str
    panel: str
    raised: str
    border: str
    text: str
    muted: str
    accent: str
    on_accent: str
    warning: str
    error: str


DARK = Colours(
    window="#14161a",
    panel="#1b1e23",
    raised="#272b32",
    border="#363c45",
    text="#e8eaed",
    muted="#a0a9b4",
    accent="#4c9ff0",
    on_accent="#06121f",
    warning="#f2b740",
    error="#ff7b72",
)
LIGHT = Colours(
    window="#eef0f3",
    panel="#fafbfc",
    raised="#e6e9ed",
    border="#c9cfd6",
    text="#1a1e23",
    muted="#535d68",
    accent="#0a5fc0",
    on_accent="#ffffff",
    warning="#7d5200",
    error="#b3261e",
)


class Theme(QObject):
    """Which colours hold now.

    Signals:
        changed: dark became light or the other way round; icons must be made anew.
    """

    changed = Signal()

    def __init__(self, name: ThemeName = "system", parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name: ThemeName = name
        QGuiApplication.styleHints().colorSchemeChanged.connect(lambda _scheme: self.apply())

    @property
    def name(self) -> ThemeName:
        """What the user chose."""
        return self._name

    @property
    def is_dark(self) -> bool:
        """True for dark; a system that does not say is taken as dark, as in a reading room."""
        if self._name == "system":
            return QGuiApplication.styleHints().colorScheme() != Qt.ColorScheme.Light
        return self._name == "dark"

    @property
    def colours(self) -> Colours:
        """The colours in use."""
        return DARK if self.is_dark else LIGHT

    def choose(self, name: ThemeName) -> None:
        """Follow the system, or stay light or dark."""
        self._name = name
        self.apply()

    def apply(self) -> None:
        """Give the application these colours."""
        app = QApplication.instance()
        if isinstance(app, QApplication):
            app.setPalette(_palette(self.colours))
            app.setStyleSheet(_style_sheet(self.colours))
            self.changed.emit()

    def icon(self, name: str, colour: str | None = None) -> QIcon:
        """A monochrome icon in the text colour (or another), grey when disabled."""
        icon = QIcon()
        for pixels in (16, 24, 32, 48):
            icon.addPixmap(_pixmap(name, colour or self.colours.text, pixels))
            icon.addPixmap(_pixmap(name, self.colours.border, pixels), QIcon.Mode.Disabled)
        return icon

    def warm_up(self, names: Iterable[str]) -> None:
        """Draw icons ahead of their use: the first time one takes ten milliseconds."""
        for name in names:
            self.icon(name)

    def pixmap(self, name: str, pixels: int, colour: str | None = None) -> QPixmap:
        """An icon as a picture, sharp on screens of high density."""
        ratio = QGuiApplication.primaryScreen().devicePixelRatio()
        picture = QPixmap(_pixmap(name, colour or self.colours.muted, round(pixels * ratio)))
        picture.setDevicePixelRatio(ratio)
        return picture


def tabular(font: QFont) -> QFont:
    """The font with figures of equal width, so that changing numbers do not dance."""
    font = QFont(font)
    font.setFeature(QFont.Tag("tnum"), 1)
    return font


@cache
def _pixmap(name: str, colour: str, pixels: int) -> QPixmap:
    from PySide6.QtSvg import QSvgRenderer

    text = (folders.resources_dir() / "icons" / f"{name}.svg").read_text(encoding="utf-8")
    picture = QPixmap(pixels, pixels)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    QSvgRenderer(text.replace("currentColor", colour).encode()).render(painter)
    painter.end()
    return picture


def _palette(colours: Colours) -> QPalette:
    role, group = QPalette.ColorRole, QPalette.ColorGroup
    palette = QPalette()
    for target, colour in {
        role.Window: colours.panel,
        role.WindowText: colours.text,
        role.Base: colours.window,
        role.AlternateBase: colours.raised,
        role.Text: colours.text,
        role.Button: colours.raised,
        role.ButtonText: colours.text,
        role.BrightText: colours.error,
        role.ToolTipBase: colours.raised,
        role.ToolTipText: colours.text,
        role.PlaceholderText: colours.muted,
        role.Highlight: colours.accent,
        role.HighlightedText: colours.on_accent,
        role.Accent: colours.accent,
        role.Link: colours.accent,
        role.Light: colours.border,
        role.Midlight: colours.border,
        role.Mid: colours.border,
        role.Dark: colours.border,
        role.Shadow: colours.window,
    }.items():
        palette.setColor(target, QColor(colour))
    faint = QColor(colours.muted)
    faint.setAlpha(130)
    for target in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(group.Disabled, target, faint)
    return palette


def _style_sheet(colours: Colours) -> str:
    values = {name: getattr(colours, name) for name in Colours.__slots__}
    # Qt style sheets take pictures from files only, so ticks and arrows have one for each theme.
    theme = "dark" if colours is DARK else "light"
    for name in ("check", "down"):
        values[name] = (folders.resources_dir() / "icons" / f"{name}-{theme}.svg").as_posix()
    return Template(_SHEET).substitute(values)


_SHEET = """
QMainWindow, QDialog { background: $panel; }
QMainWindow::separator { background: $border; width: 1px; height: 1px; }
QMainWindow::separator:hover { background: $accent; }
QMenuBar { background: $panel; border-bottom: 1px solid $border; padding: 2px 4px; }
QMenuBar::item { padding: 4px 8px; border-radius: 4px; background: transparent; }
QMenuBar::item:selected, QMenuBar::item:pressed { background: $raised; }
QMenu { background: $panel; border: 1px solid $border; padding: 4px; }
QMenu::item { padding: 5px 24px 5px 8px; border-radius: 4px; }
QMenu::item:selected { background: $accent; color: $on_accent; }
QMenu::item:disabled { color: $muted; background: transparent; }
QMenu::separator { height: 1px; background: $border; margin: 4px 8px; }
QMenu::icon { padding-left: 4px; }
QToolTip { background: $raised; color: $text; border: 1px solid $border; padding: 6px; }
QDockWidget { titlebar-close-icon: none; titlebar-normal-icon: none; }
QStatusBar { background: $panel; border-top: 1px solid $border; }
QStatusBar::item { border: none; }
QLabel[role="heading"] { font-weight: 600; }
QLabel[role="caption"] { color: $muted; font-weight: 600; }
QLabel[role="muted"] { color: $muted; }
QLabel[role="warning"] { color: $warning; }
QLabel[role="research"] { color: $warning; font-weight: 600; padding: 5px 12px 3px 8px; }
QLabel[role="title"] { font-size: 20px; font-weight: 600; }
QFrame[role="line"] { background: $border; max-height: 1px; border: none; }
QLineEdit, QSpinBox, QDoubleSpinBox, QComboBox {
  background: $window; border: 1px solid $border; border-radius: 4px; padding: 3px 8px; min-height: 20px; }
QLineEdit:focus, QSpinBox:focus, QDoubleSpinBox:focus, QComboBox:focus { border: 1px solid $accent; }
QComboBox:disabled { color: $muted; }
QComboBox::drop-down { border: none; width: 24px; }
QComboBox::down-arrow { image: url($down); width: 14px; height: 14px; }
QComboBox QAbstractItemView { background: $panel; border: 1px solid $border; padding: 4px; }
QPushButton { background: $raised; border: 1px solid $border; border-radius: 4px; padding: 4px 16px; min-height: 22px; }
QPushButton:hover { border-color: $muted; }
QPushButton:pressed { background: $border; }
QPushButton:focus { border: 1px solid $accent; }
QPushButton:disabled { color: $muted; background: $panel; }
QPushButton[role="primary"] { background: $accent; color: $on_accent; border: 1px solid $accent; font-weight: 600; }
QPushButton[role="primary"]:hover { border-color: $text; }
QPushButton[role="primary"]:focus { border: 1px solid $text; }
QPushButton[role="primary"]:disabled { background: $raised; color: $muted; border-color: $border; }
QToolButton { border: 1px solid transparent; border-radius: 4px; padding: 3px; background: transparent; }
QToolButton:hover { background: $raised; }
QToolButton:focus { border: 1px solid $accent; }
QToolButton:checked { background: $raised; border: 1px solid $border; }
QToolButton[popupMode="2"] { padding-right: 18px; border: 1px solid $border; }
QToolButton[role="workspace"] { padding: 3px 12px; color: $muted; }
QToolButton[role="workspace"]:checked { color: $text; border: 1px solid $accent; }
QCheckBox, QRadioButton { spacing: 8px; min-height: 20px; }
QCheckBox::indicator, QRadioButton::indicator { width: 14px; height: 14px; border: 1px solid $muted;
  background: $window; border-radius: 3px; }
QRadioButton::indicator { border-radius: 8px; }
QRadioButton::indicator:checked { width: 6px; height: 6px; border: 5px solid $accent; background: $on_accent; }
QCheckBox::indicator:checked { background: $accent; border-color: $accent; image: url($check); }
QCheckBox:focus, QRadioButton:focus { color: $accent; }
QTableView { background: $panel; border: none; outline: none; selection-background-color: $raised;
  selection-color: $text; }
QTableView::item { padding: 0 6px; }
QTableView::item:selected { background: $raised; color: $text; }
QHeaderView { background: $panel; border: none; }
QHeaderView::section { background: $panel; color: $muted; border: none; border-bottom: 1px solid $border;
  padding: 3px 6px; }
QListView { background: $panel; border: none; outline: none; }
QListView:focus { border: none; }
QDialog { border: 1px solid $border; }
QListWidget::item { padding: 6px 8px; border-radius: 4px; }
QListWidget::item:selected { background: $accent; color: $on_accent; }
QProgressBar { background: $window; border: 1px solid $border; border-radius: 4px; max-height: 6px; min-height: 6px; }
QProgressBar::chunk { background: $accent; border-radius: 3px; }
QSplitter::handle { background: $border; }
QSplitter::handle:vertical { height: 1px; }
QScrollArea { border: none; background: $panel; }
QScrollArea > QWidget > QWidget { background: $panel; }
QScrollBar:vertical { background: transparent; width: 10px; margin: 0; }
QScrollBar:horizontal { background: transparent; height: 10px; margin: 0; }
QScrollBar::handle { background: $border; border-radius: 4px; min-height: 24px; min-width: 24px; margin: 1px; }
QScrollBar::handle:hover { background: $muted; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QFrame[role="bar"] { background: $raised; border-bottom: 1px solid $border; }
QFrame[role="bar"][level="error"] { border-left: 4px solid $error; }
QFrame[role="bar"][level="warning"] { border-left: 4px solid $warning; }
QFrame[role="bar"][level="note"] { border-left: 4px solid $accent; }
QFrame[role="dock-title"] { background: $panel; border-bottom: 1px solid $border; }
QLabel[role="sheet"] { border: 1px solid $border; }
QFrame[role="drop"] { border: 2px dashed $border; border-radius: 8px; background: $window; }
QFrame[role="drop"][over="true"] { border-color: $accent; }
QFrame[role="viewport"] { background: #000000; }
"""
