"""One of the linked views: its slice through all layers, drawn by VTK, with Qt's lines and words on top."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QImage, QPainter, QTransform

from brainviewer.render.annotations import Annotation, Annotator, ColourBar, Line
from brainviewer.render.geometry import Plane, PlaneGeometry
from brainviewer.render.ink import Ink
from brainviewer.render.layers import Layers, Look, SliceLayers
from brainviewer.render.outlines import Outlines
from brainviewer.render.overlay import Heatmap, legend_of
from brainviewer.render.slice_view import ZOOM_RANGE, SliceView
from brainviewer.render.stage import Stage
from brainviewer.state import Display
from brainviewer.study.mask_edit import Box
from brainviewer.study.orientation import describe, is_oriented

# The views whose slices cut each view: one upright line, one level line.
_CUTTING: dict[Plane, tuple[Plane, Plane]] = {
    "axial": ("sagittal", "coronal"),
    "sagittal": ("coronal", "axial"),
    "coronal": ("sagittal", "axial"),
}


# Narrower views (logical pixels) carry only the most necessary words.
_NARROW = 230
_WIDE = 320


class PaintKind(NamedTuple):
    """What a view is painted for.

    primary: the large view, which carries window, colour bar and titles for all.
    export: a file; letters and "Research use only" are always written.
    """

    primary: bool
    export: bool


class PlaneView:
    """The axial, sagittal or coronal view. Points are device pixels of the view unless said otherwise."""

    def __init__(self, plane: Plane, stage: Stage) -> None:
        self.plane: Plane = plane
        self._stage = stage
        self._vtk = SliceView()
        stage.add(self._vtk.renderer)
        self._layers: Layers | None = None
        self._slices: SliceLayers | None = None
        self.geometry: PlaneGeometry | None = None
        self._size = (1, 1)
        self._scale = 1.0
        self._zoom = 1.0
        self._centre_mm = np.zeros(3)
        self._index = 0
        self._pool = 1
        self._aimed: object = None
        self._edition = 0
        self._cut_key: object = None
        self._drawn_key: object = None
        self._image: QImage | None = None
        self._pixels: NDArray[np.uint8] | None = None
        self._outlines: Outlines | None = None
        self.ink: Ink | None = None

    def leave(self) -> None:
        """Take this view off its stage."""
        self._stage.remove(self._vtk.renderer)

    def set_layers(self, layers: Layers, geometry: PlaneGeometry) -> None:
        """Show other layers or the same ones from another side; pan and zoom stay."""
        self._layers, self.geometry = layers, geometry
        self._slices = SliceLayers(layers, geometry)
        self._outlines = Outlines(layers, self._slices)
        self._vtk.face(geometry)
        self._aimed = None
        self.forget()

    def forget(self) -> None:
        """Voxels of a layer have changed."""
        self._edition += 1
        if self._slices is not None and self._outlines is not None:
            self._slices.forget()
            self._outlines.forget()
        if self.ink is not None:
            self.ink.forget()

    def touch(self, box: Box) -> QRectF | None:
        """Voxels of the corrected mask have changed: what has to be painted again, in logical pixels of the view."""
        if self.geometry is None or self.ink is None:
            return None
        voxels = self.ink.touch(self.geometry, self._index, box)
        return self._voxels_to_pixels().mapRect(voxels) if voxels is not None else None

    def reset(self) -> None:
        """Fit the whole volume into the view."""
        self._zoom = 1.0
        if self.geometry is not None:
            self._centre_mm = self.geometry.extent_mm()[2]

    def aim(self, width: int, height: int, scale: float, position_mm: NDArray[np.float64]) -> None:
        """Take over the view's size and the slice through a position."""
        aim = (width, height, scale, position_mm.tobytes(), self._centre_mm.tobytes(), self._zoom)
        if self.geometry is None or aim == self._aimed:
            return
        self._aimed = aim
        self._size, self._scale = (width, height), scale
        self._index = self.geometry.slice_index(position_mm)
        self._vtk.look_at(self._centre_mm, self._zoom, self._size)
        self._vtk.stand_on(self.geometry.slice_to_patient(self._index)[:3, 3])
        # How many voxels share a screen pixel, where it is two or more (a large radiograph in a small window).
        axes = [self.geometry.across, self.geometry.up]
        spacing = float(np.linalg.norm(self.geometry.affine[:3, axes], axis=0).max())
        smallest = min(self.geometry.shape[axis] for axis in axes)
        self._pool = max(1, min(int(self._vtk.mm_per_pixel / spacing), smallest))

    def warm_up(self) -> None:
        """Draw a small black picture, so that OpenGL compiles its programs before the first real one."""
        if self._layers is None:
            self._vtk.show(np.zeros((2, 2, 3), dtype=np.uint8), np.eye(4), smooth=True)
            self._stage.draw(self._vtk.renderer, 64, 64)

    # Moving

    @property
    def camera(self) -> tuple[NDArray[np.float64], float]:
        """What the view looks at (RAS+ mm) and its zoom."""
        return self._centre_mm, self._zoom

    @camera.setter
    def camera(self, seen: tuple[NDArray[np.float64], float]) -> None:
        self._centre_mm, self._zoom = seen

    def pan(self, across: float, down: float) -> None:
        """Drag the picture by device pixels."""
        if self.geometry is not None:
            shift = np.array([-across, down]) * self._vtk.mm_per_pixel @ self.geometry.screen[:2]
            self._centre_mm = self._centre_mm + shift

    def zoom(self, factor: float, about: tuple[float, float]) -> None:
        """Zoom; the patient stays where it is under the point `about`."""
        if self.geometry is None:
            return
        zoom = float(np.clip(self._zoom * factor, *ZOOM_RANGE))
        held = self._vtk.to_position(about)
        middle = self._vtk.to_position(np.array(self._size) / 2)
        self._centre_mm = self._centre_mm + (held - middle) * (1 - self._zoom / zoom)
        self._zoom = zoom

    def position_at(self, x: float, y: float) -> NDArray[np.float64] | None:
        """The patient position under a point on the shown slice; None outside the volume."""
        if self.geometry is None:
            return None
        position = self._vtk.to_position((x, y))
        voxel = np.linalg.solve(self.geometry.affine[:3, :3], position - self.geometry.affine[:3, 3])
        inside = np.all(voxel >= -0.5) and np.all(voxel <= np.array(self.geometry.shape) - 0.5)
        return position if inside else None

    def voxel_at(self, x: float, y: float) -> NDArray[np.float64] | None:
        """The continuous voxel index under a point on the shown slice, also outside the volume."""
        if self.geometry is None:
            return None
        position = self._vtk.to_position((x, y))
        voxel = np.linalg.solve(self.geometry.affine[:3, :3], position - self.geometry.affine[:3, 3])
        voxel[self.geometry.slices] = self._index
        return np.asarray(voxel, np.float64)

    @property
    def mm_per_pixel(self) -> float:
        """Size of a device pixel in the patient."""
        return self._vtk.mm_per_pixel

    def pixel_of(self, position_mm: ArrayLike) -> NDArray[np.float64]:
        """Where a position appears, float64 (2,)."""
        return self._vtk.to_pixel(position_mm)

    # Drawing

    def _keys(self, look: Look, smooth: bool) -> tuple[object, object]:
        cut = (self._edition, self._index, look, smooth, self._pool)
        return cut, (cut, self._size, self._zoom, self._centre_mm.tobytes())

    def is_stale(self, look: Look, smooth: bool) -> bool:
        """True where the picture drawn last is no longer right."""
        return self.geometry is not None and self._keys(look, smooth)[1] != self._drawn_key

    def draw(self, look: Look, smooth: bool) -> None:
        """Draw the slice; cheap where only the camera moved, nothing where nothing did."""
        if self.geometry is None or self._slices is None or not self.is_stale(look, smooth):
            return
        cut_key, drawn_key = self._keys(look, smooth)
        if cut_key != self._cut_key:
            pool = self._pool
            pooled = np.diag([pool, pool, 1.0, 1.0])
            pooled[:2, 3] = (pool - 1) / 2
            to_patient = self.geometry.slice_to_patient(self._index) @ pooled
            picture = self._slices.picture(self._index, look, pool)
            # Blue and red change places here, on the small slice, so that the large view comes back from VTK
            # in the order in which Qt paints it.
            self._vtk.show(picture[..., ::-1], to_patient, smooth)
            self._cut_key = cut_key
        pixels = self._stage.draw(self._vtk.renderer, *self._size)
        # QImage does not copy: the array must live as long as the image.
        self._pixels = pixels
        self._image = QImage(pixels.data, *self._size, 4 * self._size[0], QImage.Format.Format_RGB32)
        self._drawn_key = drawn_key

    def paint(self, painter: QPainter, display: Display, position_mm: NDArray[np.float64], kind: PaintKind) -> None:
        """Paint the drawn slice and everything on it; the painter counts logical pixels of the view."""
        if self.geometry is None or self._image is None:
            return
        self._image.setDevicePixelRatio(self._scale)
        painter.drawImage(QPointF(0, 0), self._image)
        if self._outlines is not None:
            painter.save()
            painter.setTransform(self._voxels_to_pixels(), True)
            if self.ink is not None:
                self.ink.cut(self.geometry, self._index)
                self.ink.paint(painter)
            self._outlines.paint(painter, display, self._index)
            painter.restore()
        size = (self._size[0] / self._scale, self._size[1] / self._scale)
        if display.annotations or kind.export:
            Annotator(painter, size, pixels=True).paint(self._annotation(display, position_mm, kind))

    def _voxels_to_pixels(self) -> QTransform:
        """(across, up) in voxels of the shown slice -> logical pixels."""
        if self.geometry is None:
            return QTransform()
        to_patient = self.geometry.slice_to_patient(self._index)
        corners = np.array([[0, 0, 0, 1], [1, 0, 0, 1], [0, 1, 0, 1]]) @ to_patient[:3].T
        origin, across, up = self._vtk.to_pixel(corners) / self._scale
        return QTransform(*(across - origin), *(up - origin), *origin)

    def _annotation(self, display: Display, position_mm: NDArray[np.float64], kind: PaintKind) -> Annotation:
        annotation = Annotation(self.plane, research=kind.export and kind.primary)
        if self.geometry is None or self._layers is None:
            return annotation
        volume, overlay = self._layers.volume, self._layers.overlay
        window = f"W {display.window:.4g}  L {display.level:.4g}"
        corner = [window] if volume.is_picture else [describe(position_mm), window]
        if is_oriented(volume):
            annotation.letters = self._vtk.edge_letters()
        if not volume.is_picture:
            annotation.heading = f"{self._index + 1} / {self.geometry.count}"
            annotation.crosshair = self._crosshair(position_mm) if display.crosshair else []
        if volume.calibrated:
            annotation.mm_per_pixel = self._vtk.mm_per_pixel * self._scale
        if self._size[0] < _NARROW * self._scale:
            # One of many beside each other: which slice of which run, and which way the patient lies.
            annotation.mm_per_pixel, annotation.crosshair = None, []
            annotation.corners["top_left"] = ["", overlay.title] if overlay is not None else []
            return annotation
        if kind.primary:
            # In a column of several the place would run into the scale bar; the status bar has it too.
            annotation.corners["bottom_left"] = corner if self._size[0] >= _WIDE * self._scale else [window]
        if kind.primary and overlay is not None and display.heatmap_visible:
            annotation.corners["top_right"] = [overlay.title]
            if isinstance(overlay, Heatmap):
                annotation.colour_bar = ColourBar(display.palette, display.threshold)
            else:
                annotation.legend = legend_of(overlay, display.threshold)
        return annotation

    def _crosshair(self, position_mm: NDArray[np.float64]) -> list[Line]:
        """Where the slices of the two other views cut this one."""
        geometry = self.geometry
        if geometry is None:
            return []
        at = self._vtk.to_pixel(position_mm) / self._scale
        lines = []
        upright, level = _CUTTING[self.plane]
        for plane, axis in ((upright, geometry.up), (level, geometry.across)):
            along = self._vtk.to_pixel(position_mm + geometry.affine[:3, axis]) / self._scale - at
            along = along / np.linalg.norm(along)
            lines.append(Line((at[0], at[1]), (along[0], along[1]), plane))
        return lines
