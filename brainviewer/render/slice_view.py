"""One view in VTK: a slice lying in the patient, and the camera that looks at it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from vtkmodules.vtkFiltersSources import vtkPlaneSource
from vtkmodules.vtkRenderingCore import vtkActor, vtkCamera, vtkPolyDataMapper, vtkRenderer, vtkTexture

from brainviewer.render.arrays import image_of, matrix_of, numpy_of
from brainviewer.render.geometry import PlaneGeometry
from brainviewer.study.orientation import letters

# Rim around the picture when it is fitted to the view, as a part of the view.
_RIM = 0.03
ZOOM_RANGE = (0.2, 40.0)


class SliceView:
    """Draws one slice and converts between pixels and patient with the camera's own matrix.

    Pixels are device pixels of the view, (0, 0) at its upper left corner.
    """

    def __init__(self) -> None:
        self.renderer = vtkRenderer()
        self.renderer.SetBackground(0.0, 0.0, 0.0)
        self._camera: vtkCamera = self.renderer.GetActiveCamera()
        self._camera.ParallelProjectionOn()
        self._quad = vtkPlaneSource()
        mapper = vtkPolyDataMapper()
        mapper.SetInputConnection(self._quad.GetOutputPort())
        self._texture = vtkTexture()
        self._texture.EdgeClampOn()
        self._texture.SetColorModeToDirectScalars()
        # A textured rectangle instead of vtkImageSlice: a third less time without a graphics card.
        self._slice = vtkActor()
        self._slice.SetMapper(mapper)
        self._slice.SetTexture(self._texture)
        self._slice.GetProperty().LightingOff()
        self._slice.VisibilityOff()
        self.renderer.AddActor(self._slice)
        self._geometry: PlaneGeometry | None = None
        self._extent_mm = (1.0, 1.0)
        self._middle = np.zeros(3)
        self._aimed: tuple[bytes, float, tuple[int, int]] | None = None
        self._plane_at = np.zeros(3)
        self._size = (1, 1)
        self._mm_per_pixel = 1.0
        self._screen = np.eye(3)
        self._focal = np.zeros(3)

    def show(self, picture: NDArray[np.uint8], to_patient: NDArray[np.float64], smooth: bool) -> None:
        """Put a picture, uint8 (up, across, 3), at its place in the patient (4x4, voxels -> RAS+ mm)."""
        rows, columns = picture.shape[:2]
        # Voxel centres lie on whole numbers, so the picture reaches half a voxel beyond the outer ones.
        self._quad.SetOrigin(-0.5, -0.5, 0.0)
        self._quad.SetPoint1(columns - 0.5, -0.5, 0.0)
        self._quad.SetPoint2(-0.5, rows - 0.5, 0.0)
        self._texture.SetInputData(image_of(picture))
        self._texture.SetInterpolate(smooth)
        self._slice.SetUserMatrix(matrix_of(to_patient))
        self._slice.VisibilityOn()

    def face(self, geometry: PlaneGeometry) -> None:
        """Look along the slices of a volume from now on."""
        width_mm, height_mm, self._middle = geometry.extent_mm()
        self._extent_mm = (width_mm, height_mm)
        self._geometry = geometry
        self._aimed = None

    def look_at(self, centre_mm: NDArray[np.float64], zoom: float, size: tuple[int, int]) -> None:
        """Aim the camera at a point; zoom 1 fits the volume into the view of `size` pixels."""
        aim = (centre_mm.tobytes(), zoom, size)
        if self._geometry is None or aim == self._aimed:
            return
        self._aimed = aim
        room = 1.0 - 2 * _RIM
        fit = max(self._extent_mm[0] / (size[0] * room), self._extent_mm[1] / (size[1] * room))
        self._mm_per_pixel = fit / zoom
        self._size = size
        # Farther away than any voxel, so that the whole volume lies between the clipping planes.
        depth = float(np.linalg.norm(self._geometry.affine[:3, :3], axis=0) @ self._geometry.shape)
        _, up, toward = self._geometry.screen
        # The focal point stays in the middle slice whatever the pan.
        focal = centre_mm + ((self._middle - centre_mm) @ toward) * toward
        self._camera.SetFocalPoint(*focal)
        self._camera.SetPosition(*(focal + 2 * depth * toward))
        self._camera.SetViewUp(*up)
        self._camera.SetParallelScale(size[1] * self._mm_per_pixel / 2)
        self._camera.SetClippingRange(depth, 3.0 * depth)
        self._screen = numpy_of(self._camera.GetViewTransformMatrix())[:3, :3]
        self._focal = focal

    def stand_on(self, point_mm: NDArray[np.float64]) -> None:
        """The slice that pixels are turned into positions on: the one through this point."""
        self._plane_at = point_mm

    @property
    def mm_per_pixel(self) -> float:
        """Size of a screen pixel in the patient."""
        return self._mm_per_pixel

    def to_pixel(self, positions_mm: ArrayLike) -> NDArray[np.float64]:
        """Where positions (..., 3) appear, float64 (..., 2)."""
        offset = (np.asarray(positions_mm) - self._focal) @ self._screen[:2].T / self._mm_per_pixel
        middle: NDArray[np.float64] = np.array(self._size) / 2
        return middle + offset * (1, -1)

    def to_position(self, pixel: ArrayLike) -> NDArray[np.float64]:
        """The point of the shown slice under a pixel, RAS+ mm (3,)."""
        offset = (np.asarray(pixel) - np.array(self._size) / 2) * (1, -1) * self._mm_per_pixel
        point = self._focal + offset @ self._screen[:2]
        toward = self._screen[2]
        position: NDArray[np.float64] = point + ((self._plane_at - point) @ toward) * toward
        return position

    def edge_letters(self) -> dict[str, str]:
        """Which way the patient lies, from the matrix that renders: keys left, right, top, bottom."""
        right, up = self._screen[:2]
        return {"right": letters(right), "left": letters(-right), "top": letters(up), "bottom": letters(-up)}
