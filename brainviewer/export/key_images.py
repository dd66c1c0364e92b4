"""The report's key images of one run as pixels, with the notice in them: pictures travel alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, QSizeF
from PySide6.QtGui import QColor, QImage, QPainter

from brainviewer.export.coding import RESEARCH
from brainviewer.report.pictures import pixels_of

if TYPE_CHECKING:
    from brainviewer.export.order import Order
    from brainviewer.report.pictures import Figure

STRIP = 22.0


def key_figures(order: Order) -> list[Figure]:
    """Pictures of the largest findings, or of the hottest place."""
    from brainviewer.report import application
    from brainviewer.report.contents import Contents, RunPart
    from brainviewer.report.pictures import PLOT, figures

    application.ensure()
    part = RunPart(order.material, order.material.model)
    drawn = figures(Contents((part,), study="", made=""))
    return [figure for key, figure in drawn.items() if key != PLOT]


def as_array(figure: Figure, scale: float = 1.5) -> NDArray[np.uint8]:
    """uint8 (rows, columns, 3): the figure with its caption and the notice below."""
    size = QSizeF(figure.size.width(), figure.size.height() + 2 * STRIP)
    image = QImage(round(size.width() * scale), round(size.height() * scale), QImage.Format.Format_RGB888)
    image.fill(QColor("#000000"))
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(scale, scale)
    painter.save()
    figure.paint(painter)
    painter.restore()
    top = figure.size.height()
    for line, (colour, text) in enumerate((("#e8ebf0", figure.caption), ("#d9a441", RESEARCH))):
        painter.setPen(QColor(colour))
        painter.drawText(QRectF(QPointF(8, top + line * (STRIP - 3) + 3), QSizeF(size.width() - 16, STRIP)), text)
    painter.end()
    return pixels_of(image)
