"""Outlines of a slice: where a field crosses a value, as lines in voxels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkFiltersCore import vtkFlyingEdges2D, vtkStripper

from brainviewer.render.arrays import image_of


def contours(field: NDArray[np.float32], value: float) -> list[NDArray[np.float64]]:
    """Lines where a slice crosses `value`, each float64 (points, 2) as (across, up) in voxels.

    field: float32 (up, across). Regions at the edge of the slice are closed along it.
    """
    if not bool((field > value).any()):
        return []
    edges = vtkFlyingEdges2D()
    edges.SetInputData(image_of(np.pad(field, 1, constant_values=float(field.min()))))
    edges.SetValue(0, value)
    strips = vtkStripper()
    strips.SetInputConnection(edges.GetOutputPort())
    strips.JoinContiguousSegmentsOn()
    strips.Update()
    output = strips.GetOutput()
    if output.GetNumberOfLines() == 0:
        return []
    points = vtk_to_numpy(output.GetPoints().GetData())[:, :2].astype(np.float64) - 1.0  # the padding
    cells = output.GetLines()
    starts = vtk_to_numpy(cells.GetOffsetsArray())
    order = vtk_to_numpy(cells.GetConnectivityArray())
    return [points[order[start:stop]] for start, stop in zip(starts[:-1], starts[1:], strict=True)]
