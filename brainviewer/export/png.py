"""PNG: every key image of the run; and the scan scrolled through with its heatmap as one animated PNG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QImage, QPainter

from brainviewer.export.coding import RESEARCH
from brainviewer.export.key_images import STRIP, as_array, key_figures
from brainviewer.report.pictures import pixels_of

if TYPE_CHECKING:
    from brainviewer.export.order import Order

MOST_FRAMES = 120
MILLISECONDS = 80
SCALE = 1.5


def write(order: Order, folder: Path) -> None:
    """ENGINE_key1.png and so on."""
    from PIL import Image

    for number, figure in enumerate(key_figures(order), start=1):
        Image.fromarray(as_array(figure)).save(folder / order.name(f"key{number}.png"), optimize=True)


def write_animated(order: Order, folder: Path) -> None:
    """ENGINE_slices.png, an animated PNG: the scored slices one after the other."""
    from PIL import Image

    frames = [Image.fromarray(frame).quantize(200) for frame in _frames(order)]
    path = folder / order.name("slices.png")
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=MILLISECONDS, loop=0)


def _frames(order: Order) -> Any:
    from brainviewer.report import application
    from brainviewer.report.figures import BAR_ROOM, VIEW, Views

    application.ensure()
    material = order.material
    axis = material.result.slice_axis
    views = Views(material)
    geometry, mm_per_pixel = views.middle_of(axis)
    scored = np.flatnonzero(material.result.region.any(axis=tuple(other for other in range(3) if other != axis)))
    step = max(1, -(-len(scored) // MOST_FRAMES))
    for done, index in enumerate(scored[::step]):
        order.report(done, len(scored[::step]), "Drawing slices")
        image = QImage(round((VIEW + BAR_ROOM) * SCALE), round((VIEW + STRIP) * SCALE), QImage.Format.Format_RGB888)
        image.fill(QColor("#000000"))
        painter = QPainter(image)
        painter.scale(SCALE, SCALE)
        painter.setPen(QColor("#d9a441"))
        painter.drawText(QRectF(8, VIEW + 2, VIEW, STRIP), RESEARCH)
        painter.save()
        views.paint_plane(painter, geometry, int(index), mm_per_pixel)
        painter.restore()
        painter.translate(VIEW, 0)
        views.paint_bar(painter)
        painter.end()
        yield pixels_of(image)
