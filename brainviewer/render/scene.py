"""The three linked views without a window: what each shows, kept drawn, painted on any Qt surface."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QRegion

from brainviewer.render.geometry import PLANES, Plane, picture_plane, plane_geometry
from brainviewer.render.ink import Ink
from brainviewer.render.layers import Layers, Look
from brainviewer.render.layout import Rectangle, rectangles
from brainviewer.render.overlay import MaskLayer, Overlay, heatmaps_of
from brainviewer.render.plane_view import PaintKind, PlaneView
from brainviewer.render.stage import Stage
from brainviewer.render.window_level import auto_window
from brainviewer.state import Cursor, Display
from brainviewer.study.mask_edit import Box
from engines import Volume

_BACKGROUND = QColor("#000000")
_SEAM = QColor("#23262b")
_GAP = 2


class TriplanarScene:
    """A volume in three linked views, or a picture in one.

    Sizes and points are device pixels; `scale` is the number of them in a logical pixel.
    stage: draws for several scenes, one at a time. stacked: the views lie below each other, all of one size.
    on_camera: called when the user panned or zoomed a view.
    """

    def __init__(self, cursor: Cursor, display: Display, stage: Stage | None = None) -> None:
        self.cursor = cursor
        self.display = display
        self.stage = stage or Stage()
        self._own_stage = stage is None
        self.on_camera: Callable[[Plane], None] = lambda _plane: None
        self.stacked = False
        self._views = {plane: PlaneView(plane, self.stage) for plane in PLANES}
        self._layers: Layers | None = None
        self._size = (1, 1)
        self._scale = 1.0
        self._only: Plane | None = None
        self._auto: tuple[float, float] | None = None

    # What is shown

    @property
    def volume(self) -> Volume | None:
        """The volume on show."""
        return self._layers.volume if self._layers else None

    def set_volume(self, volume: Volume | None, keep_position: bool = False) -> None:
        """Show another volume from its middle, or nothing; heatmap and masks of the last one go.

        The same series again (loaded to its end) keeps position, pan and zoom.
        keep_position: stay where the cursor is if that lies in the new volume (another series of the study).
        """
        before = self.volume
        self._layers = Layers(volume) if volume is not None else None
        self.set_ink(None, "")
        if volume is None:
            return
        filled = self._only if before is not None and not before.is_picture else None
        self._only = picture_plane(volume) or filled
        self._auto = None
        if self.display.window <= 0:
            self.display.set_window(*self._automatic(volume))
        self.aim()
        if before is not None and volume.uid and (before.uid, before.shape) == (volume.uid, volume.shape):
            return
        self.reset()
        if not (keep_position and _lies_in(self.cursor.position_mm, volume)):
            middle = (np.array(volume.shape) - 1) // 2
            self.cursor.move_to(volume.affine[:3, :3] @ middle + volume.affine[:3, 3])

    @property
    def auto_width(self) -> float:
        """The width of the automatic window, the measure of a drag with the mouse."""
        return self._automatic(self.volume)[0] if self.volume is not None else 1.0

    def _automatic(self, volume: Volume) -> tuple[float, float]:
        # Worked out when it is asked for: many views beside each other share one window.
        if self._auto is None:
            self._auto = auto_window(volume.voxels, volume.modality)
        return self._auto

    def set_overlay(self, overlay: Overlay | None) -> None:
        """Lay another heatmap, agreement or difference over the volume, or nothing."""
        if self._layers is None:
            return
        for heatmap in heatmaps_of(overlay):
            self._same_grid("heatmap", heatmap.percentiles)
        self._layers.overlay = overlay
        self.forget()

    @property
    def masks(self) -> frozenset[str]:
        """Names of the filled masks over the volume; an outline belongs to a correction."""
        masks = self._layers.masks if self._layers else {}
        return frozenset(name for name, layer in masks.items() if layer.filled)

    def set_mask(self, name: str, layer: MaskLayer | None) -> None:
        """Add, replace or (None) remove a mask."""
        if self._layers is None:
            return
        if layer is not None:
            self._same_grid("mask", layer.mask)
            self._layers.masks[name] = layer
        else:
            self._layers.masks.pop(name, None)
        self.forget()

    def set_ink(self, mask: NDArray[np.uint8] | None, colour: str) -> None:
        """Lay a mask that is being corrected over all views, or (None) take it away."""
        if mask is not None:
            self._same_grid("mask", mask)
        for view in self._views.values():
            view.ink = Ink(mask, colour) if mask is not None and self._layers is not None else None

    def touch(self, box: Box) -> list[QRectF]:
        """Voxels of the corrected mask have changed: what has to be painted again, in logical pixels."""
        found = []
        for plane, place in self.places().items():
            part = self._ready(plane, place).touch(box)
            if part is not None:
                frame = self.frame(place)
                found.append(part.translated(frame.topLeft()) & frame)
        return found

    def voxel_at(self, plane: Plane, x: float, y: float) -> NDArray[np.float64] | None:
        """The continuous voxel index under a point, on the slice that a view shows."""
        place = self.places().get(plane)
        return self._ready(plane, place).voxel_at(x - place.left, y - place.top) if place is not None else None

    def _same_grid(self, what: str, array: NDArray[np.generic]) -> None:
        volume = self.volume
        if volume is not None and array.shape != volume.shape:
            raise ValueError(f"The {what} has the shape {array.shape}, the volume {volume.shape}.")

    def forget(self) -> None:
        """The voxels of a layer have changed: draw all views again."""
        self._auto = None
        for view in self._views.values():
            view.forget()

    def aim(self) -> None:
        """Take the orientation convention from the display."""
        if self._layers is not None:
            for view in self._views.values():
                geometry = plane_geometry(self._layers.volume, view.plane, self.display.radiological)
                view.set_layers(self._layers, geometry)

    def reset(self) -> None:
        """Fit every view again."""
        for view in self._views.values():
            view.reset()

    # Where it is shown

    def resize(self, width: int, height: int, scale: float = 1.0) -> None:
        """The surface has another size or another number of device pixels in a logical one."""
        self._size = (max(1, width), max(1, height))
        self._scale = scale

    @property
    def maximised(self) -> Plane | None:
        """The view that fills the window, if one does."""
        return self._only

    def maximise(self, plane: Plane | None) -> None:
        """Fill the window with one view, or show all; a picture always has one."""
        if self._layers is not None and not self._layers.volume.is_picture:
            self._only = plane

    def places(self) -> dict[Plane, Rectangle]:
        """The views on show and where."""
        if self._layers is None:
            return {}
        return rectangles(*self._size, gap=max(1, round(_GAP * self._scale)), only=self._only, stacked=self.stacked)

    def view(self, plane: Plane) -> PlaneView:
        """One of the views."""
        return self._views[plane]

    def plane_at(self, x: float, y: float) -> Plane | None:
        """The view under a point."""
        return next((plane for plane, place in self.places().items() if place.holds(x, y)), None)

    def position_at(self, plane: Plane, x: float, y: float) -> NDArray[np.float64] | None:
        """The patient position under a point of a view; None outside the volume."""
        place = self.places().get(plane)
        if place is None:
            return None
        return self._ready(plane, place).position_at(x - place.left, y - place.top)

    def pan(self, plane: Plane, across: float, down: float) -> None:
        """Drag a view's picture."""
        place = self.places().get(plane)
        if place is not None:
            self._ready(plane, place).pan(across, down)
            self.on_camera(plane)

    def zoom(self, plane: Plane, factor: float, x: float, y: float) -> None:
        """Zoom a view about a point."""
        place = self.places().get(plane)
        if place is not None:
            # Several turns of the wheel may come before the next drawing: aim first.
            self._ready(plane, place).zoom(factor, (x - place.left, y - place.top))
            self.on_camera(plane)

    # Drawing

    def look(self) -> Look:
        """The display settings that change pixels."""
        display = self.display
        return Look(
            display.window,
            display.level,
            display.invert,
            display.heatmap_visible,
            display.palette,
            display.opacity,
            display.threshold,
            display.contour,
        )

    def _ready(self, plane: Plane, place: Rectangle) -> PlaneView:
        view = self._views[plane]
        view.aim(place.width, place.height, self._scale, self.cursor.position_mm)
        return view

    def stale(self, first: Plane | None = None) -> list[Plane]:
        """Views whose picture is not up to date, `first` in front."""
        look = self.look()
        found = [
            plane
            for plane, place in self.places().items()
            if self._ready(plane, place).is_stale(look, self.display.interpolate)
        ]
        return sorted(found, key=lambda plane: plane != first)

    def draw(self, planes: Iterable[Plane]) -> None:
        """Bring views up to date."""
        for plane in planes:
            self._views[plane].draw(self.look(), self.display.interpolate)

    def paint(self, painter: QPainter, export: bool = False, only: QRegion | None = None) -> None:
        """Paint the views as last drawn, with lines and words of this moment, in logical pixels.

        only: what has to be painted; other views are left out.
        export: for files; always writes the letters and "Research use only".
        """
        scale = self._scale
        places = self.places()
        surface = QRectF(0, 0, self._size[0] / scale, self._size[1] / scale)
        painter.fillRect(surface, _SEAM if len(places) > 1 else _BACKGROUND)
        for plane, place in places.items():
            frame = self.frame(place)
            if only is not None and not only.intersects(frame.toAlignedRect()):
                continue
            self._ready(plane, place)
            kind = PaintKind(primary=plane == next(iter(places)), export=export)
            painter.save()
            part = frame if only is None else frame & QRectF(only.boundingRect())
            painter.setClipRect(part, Qt.ClipOperation.IntersectClip)
            painter.translate(frame.topLeft())
            self._views[plane].paint(painter, self.display, self.cursor.position_mm, kind)
            painter.restore()

    def frame(self, place: Rectangle) -> QRectF:
        """A view's place in logical pixels."""
        return QRectF(*(length / self._scale for length in place))

    def close(self) -> None:
        """Let go of VTK; a stage shared with other scenes stays open."""
        if self._own_stage:
            self.stage.close()
        else:
            for view in self._views.values():
                view.leave()


def _lies_in(position_mm: NDArray[np.float64], volume: Volume) -> bool:
    voxel = np.linalg.solve(volume.affine[:3, :3], position_mm - volume.affine[:3, 3])
    return bool(np.all(voxel >= -0.5) and np.all(voxel <= np.array(volume.shape) - 0.5))
