"""The figures of one report by name, painted wherever they are needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QBuffer, QIODevice, QRectF, QSize, QSizeF
from PySide6.QtGui import QColor, QImage, QPainter

from brainviewer.report.contents import Contents, KeyImage, key_images
from brainviewer.report.figures import SlicePlot, Views

PLOT = "plot"


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """One figure. size: logical pixels. paint: draws it with a painter that counts them."""

    key: str
    caption: str
    size: QSizeF
    paint: Callable[[QPainter], None]


def figures(contents: Contents) -> dict[str, Figure]:
    """Key images and the plot of slice scores."""
    views = [Views(part.material) for part in contents.runs]
    found = {}
    for number, image in enumerate(key_images(contents)):
        view = views[image.run]
        found[f"key{number}"] = Figure(f"key{number}", image.caption, view.size, _painting(view, image))
    curves = [(part.title, part.material.result.slice_percentiles) for part in contents.runs]
    threshold = contents.runs[0].material.threshold if contents.runs else 99.0
    plot = SlicePlot(curves, threshold)
    return {**found, PLOT: Figure(PLOT, "Slice scores", plot.size, plot.paint)}


def _painting(view: Views, image: KeyImage) -> Callable[[QPainter], None]:
    return lambda painter: view.paint(painter, image.position_mm)


def as_image(figure: Figure, scale: float = 2.0, background: str = "#ffffff") -> QImage:
    """A figure as pixels."""
    size = QSize(round(figure.size.width() * scale), round(figure.size.height() * scale))
    image = QImage(size, QImage.Format.Format_RGB888)
    image.fill(QColor(background))
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(scale, scale)
    figure.paint(painter)
    painter.end()
    return image


def pixels_of(image: QImage) -> NDArray[np.uint8]:
    """The pixels of an RGB888 picture, uint8 (rows, columns, 3)."""
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : image.width() * 3].reshape(image.height(), image.width(), 3).copy()


def as_svg(figure: Figure) -> str:
    """A figure as an SVG element, ready to stand in a page."""
    from PySide6.QtSvg import QSvgGenerator

    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    generator = QSvgGenerator()
    generator.setOutputDevice(buffer)
    generator.setSize(figure.size.toSize())
    generator.setViewBox(QRectF(0, 0, figure.size.width(), figure.size.height()))
    painter = QPainter(generator)
    figure.paint(painter)
    painter.end()
    text = bytes(buffer.data().data()).decode("utf-8")
    return text[text.index("<svg") :]
