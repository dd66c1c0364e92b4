"""The one off-screen VTK window that draws every view."""

from __future__ import annotations

import os
import sys

import numpy as np
import vtkmodules.vtkRenderingOpenGL2  # noqa: F401 - registers VTK's OpenGL classes
from numpy.typing import NDArray
from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow

from brainviewer.render.arrays import pixels_of
from engines import KnownError


def _new_window() -> vtkRenderWindow:
    """VTK's choice of window, without the warning it prints where there is no X display."""
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        # Without X this is what VTK would end up with, after complaining on stderr.
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    return vtkRenderWindow()


class Stage:
    """An off-screen window with one renderer a view; draws one view at a time and hands over its pixels."""

    def __init__(self) -> None:
        self._window = _new_window()
        self._window.SetOffScreenRendering(1)
        self._window.SetShowWindow(False)
        self._window.SetMultiSamples(0)
        # Nothing is ever shown by VTK itself: spares a copy of the picture.
        self._window.SwapBuffersOff()
        self._closed = False

    def add(self, renderer: vtkRenderer) -> None:
        """Take in a view's renderer."""
        renderer.DrawOff()
        self._window.AddRenderer(renderer)

    def remove(self, renderer: vtkRenderer) -> None:
        """A view is no longer drawn."""
        if not self._closed:
            self._window.RemoveRenderer(renderer)

    def draw(self, renderer: vtkRenderer, width: int, height: int) -> NDArray[np.uint8]:
        """The view's pixels, uint8 (height, width, 4)."""
        if self._closed:
            raise RuntimeError("The VTK window is closed.")
        if tuple(self._window.GetSize()) != (width, height):
            # VTK clears and copies the whole window, so it is never larger than the view.
            self._window.SetSize(width, height)
        renderer.DrawOn()
        self._window.Render()
        renderer.DrawOff()
        return pixels_of(self._window, 0, 0, width, height)

    def opengl(self) -> str:
        """Vendor, renderer and version of OpenGL, for `brainviewer doctor`; raises KnownError where there is none."""
        self._window.SetSize(16, 16)
        self._window.Render()
        if not self._window.SupportsOpenGL():
            raise KnownError(
                "OpenGL does not work on this machine, so scans cannot be drawn.",
                "Install a graphics driver, or software OpenGL (Debian: apt install libegl1 libgl1 libgl1-mesa-dri).",
            )
        facts = self._window.ReportCapabilities().splitlines()
        wanted = ("OpenGL vendor string", "OpenGL renderer string", "OpenGL version string")
        found = [line.partition(":")[2].strip() for line in facts if line.startswith(wanted)]
        return ", ".join([self._window.GetClassName(), *found])

    def close(self) -> None:
        """Give the OpenGL context back."""
        if not self._closed:
            self._closed = True
            self._window.Finalize()
