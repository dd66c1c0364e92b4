"""Lines and words on a view: letters, crosshair, scale bar, corner text, colour bar. Painted by Qt, thin and quiet."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil, floor, log10
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QImage, QPainter, QPen

from brainviewer.render.geometry import Plane
from brainviewer.render.overlay import scale_colours
from brainviewer.study.percentile_scale import SCALE_TICKS, scale_position

AXIS_COLOURS: dict[Plane, str] = {"axial": "#e05a5a", "sagittal": "#d9b93c", "coronal": "#5cb85c"}
_TEXT = "#c9ced6"
_QUIET = "#8b929d"
_MARGIN = 8.0
_GAP = 10.0
_LETTER_RIM = 30.0
_BAR_WIDTH = 9.0
_BAR_ROOM = 58.0
_BAR_CAPTION = ("Healthy", "percentile")
RESEARCH = "Research use only"


@dataclass(frozen=True, slots=True)
class Line:
    """A crosshair line: a point on it, its direction, both in pixels, and the view whose slice it stands for."""

    through: tuple[float, float]
    direction: tuple[float, float]
    plane: Plane


@dataclass(frozen=True, slots=True)
class ColourBar:
    """The heatmap's scale."""

    palette: str
    threshold: float


@dataclass(slots=True)
class Annotation:
    """Everything written on one view, in logical pixels of the view.

    letters: by edge (left, right, top, bottom). corners: lines of text by corner (top_right, bottom_left).
    mm_per_pixel: None where the picture is not calibrated, which hides the scale bar. legend: colours and words.
    """

    plane: Plane
    heading: str = ""
    letters: dict[str, str] = field(default_factory=dict)
    corners: dict[str, list[str]] = field(default_factory=dict)
    crosshair: list[Line] = field(default_factory=list)
    mm_per_pixel: float | None = None
    colour_bar: ColourBar | None = None
    legend: list[tuple[str, str]] = field(default_factory=list)
    research: bool = False


@lru_cache(maxsize=8)
def view_font(pixels: float, bold: bool = False) -> QFont:
    """The application's font at a size in logical pixels, with figures of equal width."""
    font = QFont()
    font.setPixelSize(round(pixels))
    font.setBold(bold)
    font.setFeature(QFont.Tag("tnum"), 1)
    return font


class Words(NamedTuple):
    """A text painted once. at: its upper left corner, seen from the start of the baseline, in logical pixels."""

    picture: QImage
    at: QPointF


@lru_cache(maxsize=512)
def words(text: str, colour: str, pixels: float, bold: bool, ratio: float) -> Words:
    """A text as a picture; ratio: device pixels in a logical one.

    Kept, because most words stay from slice to slice and shaping them takes longer than drawing the slice.
    """
    font = view_font(pixels, bold)
    metrics = QFontMetricsF(font)
    # Letters may lean out of their own width.
    rim = 1 + ceil(metrics.height() / 4)
    width = ceil(metrics.horizontalAdvance(text)) + 2 * rim
    above, below = ceil(metrics.ascent()) + rim, ceil(metrics.descent()) + rim
    picture = QImage(ceil(width * ratio), ceil((above + below) * ratio), QImage.Format.Format_ARGB32_Premultiplied)
    picture.setDevicePixelRatio(ratio)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    baseline = QPointF(rim, above)
    write(painter, baseline, text, colour, font)
    painter.end()
    return Words(picture, -baseline)


def write(painter: QPainter, baseline: QPointF, text: str, colour: str, font: QFont) -> None:
    """Words with a dark rim, legible on white and on black."""
    painter.setFont(font)
    # Five plain texts take a fifth of the time of one stroked outline.
    painter.setPen(QColor(0, 0, 0, 130))
    for across, down in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        painter.drawText(baseline + QPointF(across, down), text)
    painter.setPen(QColor(colour))
    painter.drawText(baseline, text)


class Annotator:
    """Paints annotations on one view.

    pixels: the painter's device is a screen or picture whose pixels it meets one to one, so that words may be painted
    as pictures; on paper and under a magnifying painter they stay letters.
    """

    def __init__(self, painter: QPainter, size: tuple[float, float], *, pixels: bool = False) -> None:
        self._painter = painter
        self._width, self._height = size
        # What is painted again: under a brush that is a small part of the view, far from most words.
        self._seen = painter.clipBoundingRect() if painter.hasClipping() else QRectF(0, 0, *size)
        # Small views get smaller words.
        small = min(size) < 260
        self._text_face, self._letter_face = (11.0 if small else 12.0, False), (13.0 if small else 16.0, True)
        self._text_font, self._letter_font = view_font(*self._text_face), view_font(*self._letter_face)
        self._ratio = painter.device().devicePixelRatioF() if pixels else None

    def paint(self, annotation: Annotation) -> None:
        """Everything, the crosshair lowest."""
        room = _BAR_ROOM if annotation.colour_bar is not None else 0.0
        # Only in a low view does the bar reach up to the letter in the middle of the edge.
        beside = 0.0
        if room and self._bar_box().top() - 3 * _LETTER_RIM / 2 < self._height / 2 + _LETTER_RIM / 2:
            caption = max(QFontMetricsF(self._text_font).horizontalAdvance(word) for word in _BAR_CAPTION)
            beside = max(room, caption + 2 * _MARGIN)
        rim = _LETTER_RIM if annotation.letters else 0.0
        self._crosshair(annotation.crosshair, QRectF(rim, rim, self._width - 2 * rim - beside, self._height - 2 * rim))
        self._letters(annotation.letters, beside)
        self._heading(annotation)
        for corner, lines in annotation.corners.items():
            self._corner(corner, lines)
        if annotation.mm_per_pixel is not None:
            self._scale_bar(annotation.mm_per_pixel, room)
        if annotation.colour_bar is not None:
            self._colour_bar(annotation.colour_bar)
        self._legend(annotation.legend)
        if annotation.research:
            width = QFontMetricsF(self._text_font).horizontalAdvance(RESEARCH)
            below = QFontMetricsF(self._letter_font).height() if annotation.letters else 0.0
            self._text(QPointF((self._width - width) / 2, self._height - _MARGIN - below), RESEARCH, _QUIET)

    def _text(self, baseline: QPointF, text: str, colour: str = _TEXT, face: tuple[float, bool] | None = None) -> None:
        """Words in a face (logical pixels, bold) at whole device pixels, so that they stay sharp."""
        if not self._seen.intersects(QRectF(baseline.x() - 4, baseline.y() - 28, 16 * len(text) + 8, 40)):
            return
        if self._ratio is None:
            write(self._painter, baseline, text, colour, view_font(*(face or self._text_face)))
            return
        picture, at = words(text, colour, *(face or self._text_face), self._ratio)
        x, y = (round(place * self._ratio) / self._ratio for place in (baseline.x() + at.x(), baseline.y() + at.y()))
        self._painter.drawImage(QPointF(x, y), picture)

    def _crosshair(self, lines: list[Line], inner: QRectF) -> None:
        """Thin lines that leave the point itself and the rim with the letters free."""
        self._painter.save()
        self._painter.setClipRect(inner, Qt.ClipOperation.IntersectClip)
        self._painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        reach = self._width + self._height
        for line in lines:
            colour = QColor(AXIS_COLOURS[line.plane])
            colour.setAlpha(150)
            self._painter.setPen(QPen(colour, 1))
            at, along = QPointF(*line.through), QPointF(*line.direction)
            self._painter.drawLine(QLineF(at + along * _GAP, at + along * reach))
            self._painter.drawLine(QLineF(at - along * _GAP, at - along * reach))
        self._painter.restore()

    def _letters(self, letters: dict[str, str], room: float) -> None:
        """R, L, A, P, S, I in the middle of each edge."""
        metrics = QFontMetricsF(self._letter_font)
        for edge, text in letters.items():
            width = metrics.horizontalAdvance(text)
            x = {"left": _MARGIN, "right": self._width - _MARGIN - width - room}.get(edge, (self._width - width) / 2)
            middle = self._height / 2 + metrics.capHeight() / 2
            y = {"top": _MARGIN + metrics.capHeight(), "bottom": self._height - _MARGIN}.get(edge, middle)
            self._text(QPointF(x, y), text, "#e8ebf0", self._letter_face)

    def _heading(self, annotation: Annotation) -> None:
        """The view's name in its axis colour, then which slice."""
        metrics = QFontMetricsF(self._text_font)
        at = QPointF(_MARGIN, _MARGIN + metrics.ascent())
        if not annotation.heading:
            return
        name = annotation.plane.capitalize()
        self._text(at, name, AXIS_COLOURS[annotation.plane])
        number = metrics.horizontalAdvance(name + "  ")
        # In a narrow view the number alone, without how many there are.
        for text in (annotation.heading, annotation.heading.split(" / ")[0]):
            if at.x() + number + metrics.horizontalAdvance(text) < self._width / 2 - _LETTER_RIM / 2:
                self._text(at + QPointF(number, 0), text)
                break

    def _corner(self, corner: str, lines: list[str]) -> None:
        metrics = QFontMetricsF(self._text_font)
        below = len(lines) - 1
        for number, text in enumerate(lines):
            x = _MARGIN if "left" in corner else self._width - _MARGIN - metrics.horizontalAdvance(text)
            top = _MARGIN + metrics.ascent() + number * metrics.lineSpacing()
            bottom = self._height - _MARGIN - metrics.descent() - (below - number) * metrics.lineSpacing()
            self._text(QPointF(x, top if "top" in corner else bottom), text)

    def _scale_bar(self, mm_per_pixel: float, room: float) -> None:
        """A round number of millimetres, at most a fifth of the view wide."""
        length_mm = round_length(self._width * mm_per_pixel / 5)
        length = length_mm / mm_per_pixel
        right, y = self._width - _MARGIN - room, self._height - _MARGIN - 4
        self._painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        for colour, width in ((QColor(0, 0, 0, 170), 3.0), (QColor(_TEXT), 1.0)):
            self._painter.setPen(QPen(colour, width))
            for line in ((right - length, y, right, y), (right - length, y - 4, right - length, y + 4)):
                self._painter.drawLine(QLineF(*line))
            self._painter.drawLine(QLineF(right, y - 4, right, y + 4))
        text = f"{length_mm:g} mm"
        width = QFontMetricsF(self._text_font).horizontalAdvance(text)
        # Above the middle of the bar; a short one at the edge has its words begin further in.
        self._text(QPointF(min(right - length / 2 - width / 2, right - width), y - 8), text)

    def _colour_bar(self, bar: ColourBar) -> None:
        """Healthy percentiles from 90 to 99.9, the part below the threshold dimmed, the threshold marked."""
        box = self._bar_box()
        picture = bar_picture(bar.palette, bar.threshold)
        pixels = QImage(picture.data, 1, len(picture), 4, QImage.Format.Format_RGB32)
        self._painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        self._painter.drawImage(box, pixels)
        self._painter.setPen(QPen(QColor(_QUIET), 1))
        self._painter.drawRect(box)
        metrics = QFontMetricsF(self._text_font)
        heights = {tick: round(box.bottom() - bar_place(tick) * box.height()) for tick in (*SCALE_TICKS, bar.threshold)}
        marked = heights.pop(bar.threshold)
        for tick, y in heights.items():
            if abs(y - marked) > metrics.capHeight() + 3:
                self._tick(box, y, f"{tick:g}", _QUIET)
        self._tick(box, marked, f"{bar.threshold:g}", "#ffffff", (12.0, True))
        self._painter.drawLine(QLineF(box.left() - 4, marked, box.right(), marked))
        for number, text in enumerate(_BAR_CAPTION[::-1]):
            width = metrics.horizontalAdvance(text)
            at = QPointF(self._width - _MARGIN - width, box.top() - 10 - number * metrics.lineSpacing())
            self._text(at, text, _QUIET)

    def _legend(self, lines: list[tuple[str, str]]) -> None:
        """Patches of colour with words, under the title in the upper right corner."""
        metrics = QFontMetricsF(self._text_font)
        for number, (colour, text) in enumerate(lines):
            y = _MARGIN + metrics.ascent() + (number + 1.5) * metrics.lineSpacing()
            x = self._width - _MARGIN - metrics.horizontalAdvance(text)
            self._text(QPointF(x, y), text)
            side = metrics.capHeight()
            self._painter.fillRect(QRectF(x - side - 6, y - side, side, side), QColor(colour))

    def _bar_box(self) -> QRectF:
        height = min(260.0, self._height * 0.4)
        return QRectF(self._width - _BAR_ROOM + 6, self._height - _MARGIN - height - 6, _BAR_WIDTH, height)

    def _tick(self, box: QRectF, y: float, text: str, colour: str, face: tuple[float, bool] | None = None) -> None:
        metrics = QFontMetricsF(view_font(*face) if face is not None else self._text_font)
        self._text(QPointF(box.right() + 8, y + metrics.capHeight() / 2), text, colour, face)
        self._painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        self._painter.setPen(QPen(QColor(colour), 1))
        self._painter.drawLine(QLineF(box.right(), y, box.right() + 4, y))


def round_length(longest: float) -> float:
    """The largest of 1, 2, 5, 10, 20, 50 ... that is not longer."""
    step = 10.0 ** floor(log10(longest))
    return next(factor * step for factor in (5, 2, 1) if factor * step <= longest * (1 + 1e-9))


@lru_cache(maxsize=64)
def bar_place(percentile: float) -> float:
    """Height of a percentile on the colour bar, 0 to 1."""
    return float(scale_position(percentile))


@lru_cache(maxsize=8)
def bar_picture(palette: str, threshold: float) -> NDArray[np.uint8]:
    """The colour bar from top to bottom, uint8 (256, 4) in Qt's BGRX order; dim below the threshold."""
    colours = scale_colours(palette).astype(np.float32)
    below = np.arange(256) / 255.0 < bar_place(threshold)
    colours[below] *= 0.25
    picture = np.full((256, 4), 255, dtype=np.uint8)
    picture[:, :3] = colours[::-1, ::-1].astype(np.uint8)
    return picture
