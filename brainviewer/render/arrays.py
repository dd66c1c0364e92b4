"""Numbers between numpy and VTK without copying, with the axes in the right order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkUnsignedCharArray
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from vtkmodules.vtkRenderingCore import vtkRenderWindow


def image_of(array: NDArray[np.generic]) -> vtkImageData:
    """A VTK image over the same memory; it keeps the array alive.

    array: (rows, columns) or (rows, columns, channels). VTK's x runs along the columns, its y along the rows, because
    VTK wants x fastest. A C-contiguous array is not copied.
    """
    rows, columns = array.shape[:2]
    flat = np.ascontiguousarray(array).reshape(rows * columns, -1)  # (pixels, channels)
    image = vtkImageData()
    image.SetDimensions(columns, rows, 1)
    # numpy_to_vtk with deep=0 stores a reference to the array in the VTK array.
    image.GetPointData().SetScalars(numpy_to_vtk(flat, deep=0))
    return image


def matrix_of(matrix: NDArray[np.float64]) -> vtkMatrix4x4:
    """A 4x4 numpy matrix for VTK."""
    found = vtkMatrix4x4()
    found.DeepCopy([float(value) for value in matrix.ravel()])
    return found


def numpy_of(matrix: vtkMatrix4x4) -> NDArray[np.float64]:
    """A VTK matrix as float64 (4, 4)."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def pixels_of(window: vtkRenderWindow, left: int, bottom: int, width: int, height: int) -> NDArray[np.uint8]:
    """What the window shows in a rectangle, uint8 (height, width, 4), first row at the top, as Qt paints it.

    left, bottom: from the window's lower left corner, VTK's way.
    """
    values = vtkUnsignedCharArray()
    window.GetRGBACharPixelData(left, bottom, left + width - 1, bottom + height - 1, 0, values, 0)
    return np.ascontiguousarray(vtk_to_numpy(values).reshape(height, width, 4)[::-1])
