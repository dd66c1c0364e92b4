"""The report as PDF: Qt's rich text lays out the pages, figures are painted into them as vectors."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QBuffer, QIODevice, QMarginsF, QPointF, QRect, QRectF, QSizeF, Qt
from PySide6.QtGui import (
    QAbstractTextDocumentLayout,
    QColor,
    QFont,
    QFontMetricsF,
    QImage,
    QPageLayout,
    QPageSize,
    QPainter,
    QPdfWriter,
    QPyTextObject,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextFormat,
)

import brainviewer
from brainviewer.report import application
from brainviewer.report.contents import NOTICE, Contents
from brainviewer.report.html import page
from brainviewer.report.pictures import PLOT, Figure, figures, pixels_of

Paper = Literal["A4", "Letter"]
SIZES = {"A4": QPageSize.PageSizeId.A4, "Letter": QPageSize.PageSizeId.Letter}
# Text is laid out in points and painted larger; figures count logical pixels of 96 a inch.
RESOLUTION = 600
POINTS = 72
MARGIN_MM = 16.0
FOOT = 22.0  # points kept free at the bottom of every page
FIGURE = QTextFormat.ObjectTypes.UserObject + 1
KEY = QTextFormat.Property.UserProperty + 1


class _Figures(QPyTextObject):
    """Figures as characters of the text."""

    def __init__(self, figures: dict[str, Figure], width: float, parent: QTextDocument) -> None:
        super().__init__(parent)
        self._figures, self._width = figures, width

    def _scale(self, figure: Figure) -> float:
        return self._width / figure.size.width()

    def intrinsicSize(self, _document: QTextDocument, _at: int, form: QTextFormat) -> QSizeF:  # noqa: N802
        """Room on the page: as wide as the text."""
        figure = self._figures[form.property(KEY)]
        return figure.size * self._scale(figure)

    def drawObject(  # noqa: N802
        self, painter: QPainter, rect: QRectF | QRect, _document: QTextDocument, _at: int, form: QTextFormat
    ) -> None:
        """Paint it where the text has it."""
        figure = self._figures[form.property(KEY)]
        painter.save()
        painter.translate(QPointF(rect.topLeft()))
        painter.scale(self._scale(figure), self._scale(figure))
        figure.paint(painter)
        painter.restore()


def render(contents: Contents, paper: Paper = "A4") -> bytes:
    """The pages as one PDF file."""
    application.ensure()
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    writer = QPdfWriter(buffer)
    writer.setResolution(RESOLUTION)
    layout = _layout(paper)
    writer.setPageLayout(layout)
    # Nothing of the study: this is what file managers show.
    writer.setTitle("BrainViewer report")
    writer.setCreator(f"BrainViewer {brainviewer.__version__}")
    room = layout.paintRect(QPageLayout.Unit.Point)
    document = _document(contents, room.width(), room.height() - FOOT)
    painter = QPainter(writer)
    painter.setRenderHint(QPainter.RenderHint.LosslessImageRendering, True)
    painter.scale(RESOLUTION / POINTS, RESOLUTION / POINTS)
    for number in range(document.pageCount()):
        if number:
            writer.newPage()
        _paint_page(painter, document, number, room)
    painter.end()
    return bytes(buffer.data().data())


def pages(contents: Contents, paper: Paper = "A4", dots_per_inch: int = 96) -> list[NDArray[np.uint8]]:
    """The pages as pictures for a preview, uint8 (rows, columns, 3): the same layout as in print."""
    application.ensure()
    layout = _layout(paper)
    room, whole = layout.paintRect(QPageLayout.Unit.Point), layout.fullRect(QPageLayout.Unit.Point)
    document = _document(contents, room.width(), room.height() - FOOT)
    scale = dots_per_inch / POINTS
    found = []
    for number in range(document.pageCount()):
        image = QImage(round(whole.width() * scale), round(whole.height() * scale), QImage.Format.Format_RGB888)
        image.fill(QColor("#ffffff"))
        painter = QPainter(image)
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.TextAntialiasing)
        painter.scale(scale, scale)
        painter.translate(room.topLeft())
        _paint_page(painter, document, number, room)
        painter.end()
        found.append(pixels_of(image))
    return found


def _layout(paper: Paper) -> QPageLayout:
    margins = QMarginsF(MARGIN_MM, MARGIN_MM, MARGIN_MM, MARGIN_MM)
    upright = QPageLayout.Orientation.Portrait
    return QPageLayout(QPageSize(SIZES[paper]), upright, margins, QPageLayout.Unit.Millimeter)


def _document(contents: Contents, width: float, height: float) -> QTextDocument:
    drawn = figures(contents)
    key_images = [{"caption": figure.caption, "key": key, "svg": ""} for key, figure in drawn.items() if key != PLOT]
    document = QTextDocument()
    # One point of the page is one unit of the layout, whatever screen there is.
    document.documentLayout().setPaintDevice(_Points.device())
    document.setDocumentMargin(0)
    document.setDefaultFont(QFont("DejaVu Sans", 9))
    document.documentLayout().registerHandler(FIGURE, _Figures(drawn, width, document))
    document.setHtml(page(contents, print=True, key_images=key_images, plot=""))
    _place_figures(document)
    document.setPageSize(QSizeF(width, height))
    _keep_headings(document)
    return document


def _keep_headings(document: QTextDocument) -> None:
    """A heading goes to the next page where nothing of its text would stand below it."""
    height = document.pageSize().height()
    for _ in range(document.pageCount() + 1):
        block = document.begin()
        while block.isValid():
            rect = document.documentLayout().blockBoundingRect(block)
            below = document.documentLayout().blockBoundingRect(block.next())
            level = block.blockFormat().headingLevel()
            if level and block.next().isValid() and rect.top() // height != (below.bottom() - 1) // height:
                form = block.blockFormat()
                if form.pageBreakPolicy() == QTextFormat.PageBreakFlag.PageBreak_Auto:
                    form.setPageBreakPolicy(QTextFormat.PageBreakFlag.PageBreak_AlwaysBefore)
                    QTextCursor(block).setBlockFormat(form)
                    break
            block = block.next()
        else:
            return


class _Points:
    """A paint device of 72 dots an inch, kept as long as the program runs."""

    _device: QPdfWriter | None = None
    _buffer: QBuffer | None = None

    @classmethod
    def device(cls) -> QPdfWriter:
        """The device."""
        if cls._device is None:
            cls._buffer = QBuffer()
            cls._buffer.open(QIODevice.OpenModeFlag.WriteOnly)
            cls._device = QPdfWriter(cls._buffer)
            cls._device.setResolution(POINTS)
        return cls._device


def _place_figures(document: QTextDocument) -> None:
    """Turn every image called figure:KEY into the figure itself."""
    places: list[tuple[int, str]] = []
    block = document.begin()
    while block.isValid():
        parts = block.begin()
        while not parts.atEnd():
            part = parts.fragment()
            form = part.charFormat()
            name = form.toImageFormat().name() if form.isImageFormat() else ""
            if name.startswith("figure:"):
                places.append((part.position(), name.removeprefix("figure:")))
            parts += 1
        block = block.next()
    for position, key in places:
        form = QTextCharFormat()
        form.setObjectType(FIGURE)
        form.setProperty(KEY, key)
        cursor = QTextCursor(document)
        cursor.setPosition(position)
        cursor.setPosition(position + 1, QTextCursor.MoveMode.KeepAnchor)
        cursor.insertText("￼", form)


def _paint_page(painter: QPainter, document: QTextDocument, number: int, room: QRectF) -> None:
    height = document.pageSize().height()
    painter.save()
    painter.translate(0, -number * height)
    context = QAbstractTextDocumentLayout.PaintContext()
    context.clip = QRectF(0, number * height, room.width(), height)
    painter.setClipRect(context.clip)
    document.documentLayout().draw(painter, context)
    painter.restore()
    _paint_foot(painter, number + 1, document.pageCount(), room)


def _paint_foot(painter: QPainter, number: int, count: int, room: QRectF) -> None:
    """The notice and the page number, on every page."""
    font = QFont("DejaVu Sans")
    font.setPixelSize(7)
    painter.setFont(font)
    painter.setPen(QColor("#9a5b00"))
    foot = QRectF(0, room.height() - FOOT / 2, room.width(), FOOT / 2)
    painter.drawText(foot, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom, NOTICE)
    painter.setPen(QColor("#5a626c"))
    text = f"BrainViewer {brainviewer.__version__}    page {number} of {count}"
    width = QFontMetricsF(font).horizontalAdvance(text)
    painter.drawText(foot.adjusted(room.width() - width - 2, 0, 0, 0), Qt.AlignmentFlag.AlignBottom, text)
