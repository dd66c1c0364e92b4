"""The widget with the three linked views."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QCloseEvent,
    QEnterEvent,
    QImage,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from brainviewer.render.brush_ring import BrushRing
from brainviewer.render.geometry import Plane
from brainviewer.render.interaction import Interaction, Painter
from brainviewer.render.overlay import Heatmap, MaskLayer, Overlay
from brainviewer.render.scene import TriplanarScene
from brainviewer.render.stage import Stage
from brainviewer.state import Cursor, Display, Tool
from brainviewer.state.turn import Turn
from brainviewer.study.mask_edit import Box
from engines import KnownError, Volume

# Views are drawn one after the other, and the window gets its turn in between, so that no gap grows long
# without a graphics card (a view of 900x900 pixels takes some 20 ms there).
_TURN_SECONDS = 0.008


class TriplanarView(QWidget):
    """Axial, sagittal and coronal views of a volume, linked by the cursor; a 2D picture in one view.

    Signals:
        hovered(object): the patient position under the mouse (float64 (3,) RAS+ mm), or None.
        camera_moved(str): the user panned or zoomed this plane.
        context_menu_requested(QPoint): a short right click, in global coordinates.
    """

    hovered = Signal(object)
    camera_moved = Signal(str)
    context_menu_requested = Signal(QPoint)

    def __init__(
        self, cursor: Cursor, display: Display, tool: Tool, parent: QWidget | None = None, stage: Stage | None = None
    ) -> None:
        super().__init__(parent)
        self._scene = TriplanarScene(cursor, display, stage)
        self._scene.on_camera = self.camera_moved.emit
        self._hand = Interaction(self._scene, tool)
        self._tool, self._ring = tool, BrushRing()
        self._pointer: QPointF | None = None
        self._closed = False
        self._all_changed = True
        self._redraw = Turn(self)
        self._redraw.due.connect(self._draw_some)
        cursor.moved.connect(self.refresh)
        display.changed.connect(self._on_display)
        tool.changed.connect(self._show_ring)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(240, 180)
        self.setAccessibleName("Images")
        self.setAccessibleDescription("Axial, sagittal and coronal views of the open series")
        self.destroyed.connect(self._scene.close)

    # What is shown

    @property
    def stage(self) -> Stage:
        """What draws the views; other widgets may have theirs drawn there too, which spares them starting OpenGL."""
        return self._scene.stage

    @property
    def active_plane(self) -> Plane:
        """The view under the mouse, or the one used last."""
        planes = list(self._scene.places())
        return self._hand.active if self._hand.active in planes or not planes else planes[0]

    def slice_axis_of(self, plane: Plane) -> int:
        """The voxel axis whose slices a view shows."""
        geometry = self._scene.view(plane).geometry
        return geometry.slices if geometry is not None else 2

    def set_volume(self, volume: Volume | None, keep_position: bool = False) -> None:
        """Show a volume from its middle slices, or (None) an empty black view; drops heatmap and masks.

        Chooses a window only where the display has none yet (window 0). The same series again (same uid and shape)
        keeps position, pan and zoom; keep_position does so for another series that holds the position.
        """
        self._scene.set_volume(volume, keep_position)
        self.refresh()

    def refresh_voxels(self) -> None:
        """The volume's array is being filled by a worker and has changed."""
        self._scene.forget()
        self.refresh()

    def set_heatmap(
        self, percentiles: NDArray[np.float32] | None, region: NDArray[np.bool_] | None = None, title: str = ""
    ) -> None:
        """Lay healthy percentiles (0..100, on the volume's grid) over the volume, inside the scored region."""
        self.set_overlay(Heatmap(percentiles, region, title) if percentiles is not None else None)

    def set_overlay(self, overlay: Overlay | None) -> None:
        """Lay a heatmap, the agreement or the difference of several over the volume, or nothing."""
        self._scene.set_overlay(overlay)
        self.refresh()

    @property
    def volume(self) -> Volume | None:
        """The volume on show."""
        return self._scene.volume

    @property
    def masks(self) -> frozenset[str]:
        """Names of the masks on show."""
        return self._scene.masks

    def set_mask(self, name: str, mask: NDArray[np.uint8] | None, colour: str = "#4fc3f7", filled: bool = True) -> None:
        """Show a mask in a colour ("#rrggbb"), filled or as an outline, or (None) take it away."""
        self._scene.set_mask(name, MaskLayer(mask, colour, filled) if mask is not None else None)
        self.refresh()

    def correct(self, mask: NDArray[np.uint8] | None, colour: str, painter: Painter | None) -> None:
        """Show a mask that is being corrected, and let the painter have the left button; None ends it."""
        self._scene.set_ink(mask, colour)
        self._hand.painter = painter
        self._show_ring()
        self.refresh()

    def touch(self, box: Box) -> None:
        """Voxels of the corrected mask have changed: paint that part again, and only that part."""
        for part in self._scene.touch(box):
            self.update(part.toAlignedRect().adjusted(-1, -1, 1, 1))

    def stack(self, stacked: bool) -> None:
        """Put the three views below each other, or back to the usual places."""
        self._scene.stacked = stacked
        self.refresh()

    def look_like(self, other: TriplanarView, plane: Plane) -> None:
        """Take over pan and zoom of a plane from another widget that shows the same volume."""
        self._scene.view(plane).camera = other._scene.view(plane).camera
        self.refresh()

    def maximise(self, plane: Plane | None) -> None:
        """Fill the widget with one view, or (None) show all three."""
        self._scene.maximise(plane)
        self.refresh()

    @property
    def maximised(self) -> Plane | None:
        """The view that fills the widget, if one does."""
        return self._scene.maximised

    def reset_view(self) -> None:
        """Fit all views again."""
        self._scene.reset()
        self.refresh()

    def step(self, plane: Plane, count: int) -> None:
        """Go `count` slices on or back in a view, stopping at the ends."""
        self._hand.step(plane, count)

    def grab_png(self, path: Path) -> None:
        """Save what is shown, with letters and "Research use only" written on it."""
        self._fit()
        self._scene.draw(self._scene.stale())
        image = QImage(self._device_size(), QImage.Format.Format_RGB32)
        image.setDevicePixelRatio(self.devicePixelRatioF())
        painter = QPainter(image)
        self._scene.paint(painter, export=True)
        painter.end()
        if not image.save(str(path), "PNG"):  # type: ignore[call-overload]
            raise KnownError(f"The picture could not be saved as {path}.", "Choose a folder you may write to.")

    def warm_up(self) -> None:
        """Start OpenGL now (0.1 to 0.5 s), so that the first volume appears without that delay."""
        if not self._closed:
            self._scene.view("axial").warm_up()

    def close_vtk(self) -> None:
        """Let go of VTK and OpenGL; the widget stays black from now on."""
        self._closed = True
        self._redraw.stop()
        self._scene.close()

    # Drawing

    def refresh(self) -> None:
        """Show the present state within the next turns of the event loop."""
        if not self._closed:
            self._all_changed = True
            self._redraw.start()

    def _on_display(self, name: str) -> None:
        if name == "radiological":
            self._scene.aim()
        self.refresh()

    def _draw_some(self) -> None:
        """Draw the stale views that fit into one turn; lines and words move in all views at once."""
        if self._closed or not self.isVisible():
            return
        self._fit()
        began = perf_counter()
        stale = self._scene.stale(first=self.active_plane)
        places = self._scene.places()
        while stale and perf_counter() - began < _TURN_SECONDS:
            plane = stale.pop(0)
            self._scene.draw([plane])
            self.update(self._scene.frame(places[plane]).toAlignedRect())
        if self._all_changed:
            self.update()
        self._all_changed = False
        if stale:
            self._redraw.start()

    def _device_size(self) -> QSize:
        return QSize(*(max(1, round(length * self.devicePixelRatioF())) for length in (self.width(), self.height())))

    def _fit(self) -> None:
        size, scale = self._device_size(), self.devicePixelRatioF()
        self._scene.resize(size.width(), size.height(), scale)
        self._hand.scale = scale

    def _device(self, point: QPointF) -> tuple[float, float]:
        """The only place where logical become device pixels."""
        scale = self.devicePixelRatioF()
        return point.x() * scale, point.y() * scale

    def _show_ring(self) -> None:
        """The brush under the pointer, or the usual pointer."""
        at = self._pointer if self._hand.holds_brush else None
        plane = self._scene.plane_at(*self._device(at)) if at is not None else None
        if at is None or plane is None:
            parts = self._ring.put(None, 0, QRectF(), False)
        else:
            per_mm = 1 / (self._scene.view(plane).mm_per_pixel * self.devicePixelRatioF())
            frame = self._scene.frame(self._scene.places()[plane])
            parts = self._ring.put(at, self._tool.radius_mm * per_mm, frame, self._tool.paint == "eraser")
        for part in parts:
            self.update(part)
        shape = Qt.CursorShape.CrossCursor if self._hand.holds_brush else Qt.CursorShape.ArrowCursor
        if shape != self.cursor().shape():
            self.setCursor(shape)

    # Qt's events

    def sizeHint(self) -> QSize:  # noqa: D102, N802
        return QSize(1000, 640)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102, N802
        self._fit()
        painter = QPainter(self)
        # At a scale of 1.25 the scene may end a part of a pixel before the widget.
        painter.fillRect(self.rect(), Qt.GlobalColor.black)
        self._scene.paint(painter, only=event.region())
        self._ring.paint(painter)
        painter.end()

    def resizeEvent(self, _event: QResizeEvent) -> None:  # noqa: D102, N802
        self._fit()
        self.refresh()

    def event(self, event: QEvent) -> bool:  # noqa: D102
        if event.type() in (QEvent.Type.Show, QEvent.Type.DevicePixelRatioChange):
            self.refresh()
        return super().event(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: D102, N802
        self._hand.press(*self._device(event.position()), event.button(), event.modifiers())
        if not self._hand.is_painting:
            self.refresh()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: D102, N802
        point = self._device(event.position())
        self._hand.move(*point, event.modifiers())
        self._pointer = event.position()
        if self._hand.holds_brush:
            self._show_ring()
        plane = self._scene.plane_at(*point)
        self.hovered.emit(self._scene.position_at(plane, *point) if plane else None)
        if event.buttons() != Qt.MouseButton.NoButton and not self._hand.is_painting:
            self.refresh()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: D102, N802
        painted = self._hand.is_painting
        if self._hand.release(event.button()) == "menu":
            self.context_menu_requested.emit(event.globalPosition().toPoint())
        if not painted:
            self.refresh()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: D102, N802
        if self._hand.holds_brush:
            # Two quick dabs.
            self.mousePressEvent(event)
        elif event.button() == Qt.MouseButton.LeftButton:
            self._hand.double_click(*self._device(event.position()))
            self.refresh()

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: D102, N802
        turns = (event.angleDelta().y() or event.angleDelta().x()) / 120.0
        self._hand.wheel(*self._device(event.position()), turns, event.modifiers())
        self.refresh()
        event.accept()

    def enterEvent(self, event: QEnterEvent) -> None:  # noqa: D102, N802
        plane = self._scene.plane_at(*self._device(event.position()))
        self._hand.active = plane or self._hand.active

    def leaveEvent(self, _event: QEvent) -> None:  # noqa: D102, N802
        self._pointer = None
        self._show_ring()
        self.hovered.emit(None)

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: D102, N802
        self.close_vtk()
        super().closeEvent(event)
