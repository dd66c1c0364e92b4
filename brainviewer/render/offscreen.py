"""The views as a PNG file, without a window and without a screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QGuiApplication, QImage, QPainter

from brainviewer.render.geometry import plane_across
from brainviewer.render.overlay import Heatmap
from brainviewer.render.scene import TriplanarScene
from brainviewer.render.stage import Stage
from brainviewer.state import Cursor, Display
from brainviewer.study.percentile_scale import tail
from engines import KnownError, Volume


def save_views(
    volume: Volume,
    percentiles: NDArray[np.float32] | None,
    region: NDArray[np.bool_] | None,
    path_png: Path,
    threshold: float = 99.0,
    size: tuple[int, int] = (1600, 900),
    title: str = "",
    position_mm: NDArray[np.float64] | None = None,
) -> None:
    """Save the three views with the heatmap above `threshold` (healthy percentile) and "Research use only" on it.

    Looks at `position_mm`, else at the middle of what lies farthest above the threshold, else at the volume's middle.
    """
    _ensure_application()
    cursor, display = Cursor(), Display()
    display.threshold = threshold
    scene = TriplanarScene(cursor, display)
    try:
        scene.set_volume(volume)
        if percentiles is not None:
            heatmap = Heatmap(percentiles, region, title)
            scene.set_overlay(heatmap)
            found = hottest(volume, heatmap, display.threshold)
            position_mm = found if position_mm is None else position_mm
        if position_mm is not None:
            cursor.move_to(position_mm)
        scene.resize(*size, scale=max(1.0, size[1] / 1000))
        scene.draw(scene.stale())
        image = QImage(*size, QImage.Format.Format_RGB32)
        image.setDevicePixelRatio(max(1.0, size[1] / 1000))
        painter = QPainter(image)
        scene.paint(painter, export=True)
        painter.end()
    finally:
        scene.close()
    if not image.save(str(path_png), "PNG"):  # type: ignore[call-overload]
        raise KnownError(f"The picture could not be saved as {path_png}.", "Choose a folder you may write to.")


def save_side_by_side(
    volume: Volume,
    heatmaps: Sequence[Heatmap],
    path_png: Path,
    threshold: float = 99.0,
    position_mm: NDArray[np.float64] | None = None,
    size: tuple[int, int] = (1600, 900),
) -> None:
    """Save one slice with each heatmap on it in turn, all on the same scale; four at most stand in two rows.

    Looks at `position_mm`, else at what lies farthest above the threshold in the middle one of the heatmaps, voxel by
    voxel: an engine that marks everything, or nothing, does not decide.
    """
    _ensure_application()
    middle = np.median([_inside(one) for one in heatmaps], axis=0).astype(np.float32)
    if position_mm is None:
        position_mm = hottest(volume, Heatmap(middle), threshold)
    across = len(heatmaps) if len(heatmaps) < 4 else (len(heatmaps) + 1) // 2
    down = -(-len(heatmaps) // across)
    width, height = size[0] // across, size[1] // down
    image = QImage(width * across, height * down, QImage.Format.Format_RGB32)
    image.fill(0)
    painter, stage = QPainter(image), Stage()
    try:
        for number, heatmap in enumerate(heatmaps):
            cursor, display = Cursor(), Display()
            display.threshold = threshold
            scene = TriplanarScene(cursor, display, stage)
            scene.set_volume(volume)
            scene.maximise(plane_across(volume))
            scene.set_overlay(heatmap)
            if position_mm is not None:
                cursor.move_to(position_mm)
            scene.resize(width - 2, height - 2)
            scene.draw(scene.stale())
            painter.save()
            painter.translate(number % across * width, number // across * height)
            scene.paint(painter, export=True)
            painter.restore()
            scene.close()
    finally:
        painter.end()
        stage.close()
    if not image.save(str(path_png), "PNG"):  # type: ignore[call-overload]
        raise KnownError(f"The picture could not be saved as {path_png}.", "Choose a folder you may write to.")


def _inside(heatmap: Heatmap) -> NDArray[np.float32]:
    return heatmap.percentiles if heatmap.region is None else heatmap.percentiles * heatmap.region


def hottest(volume: Volume, heatmap: Heatmap, threshold: float) -> NDArray[np.float64] | None:
    """Where to look first: in the slice with most above the threshold, the middle of it; None where nothing is."""
    above = np.maximum(tail(np.nan_to_num(heatmap.percentiles)) - tail(threshold), 0)
    if heatmap.region is not None:
        above = above * heatmap.region
    if not above.any():
        return None
    axis = volume.slice_axis
    others = tuple(other for other in range(3) if other != axis)
    index = int(above.sum(axis=others).argmax())
    weight = above.take(index, axis=axis)
    voxel = np.insert([float((grid * weight).sum() / weight.sum()) for grid in np.indices(weight.shape)], axis, index)
    position: NDArray[np.float64] = volume.affine[:3, :3] @ voxel + volume.affine[:3, 3]
    return position


def opengl_renderer() -> str:
    """What draws the views on this machine: window class, vendor, renderer, version.

    Raises KnownError where nothing can. Ask in a subprocess: a broken driver may end the process.
    """
    stage = Stage()
    try:
        return stage.opengl()
    finally:
        stage.close()


def _ensure_application() -> None:
    """Qt needs an application object to write text, a screen it does not need."""
    if QGuiApplication.instance() is None:
        if sys.platform == "linux" and not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
            os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        # Kept alive by the module: Qt allows one application a process.
        globals()["_application"] = QGuiApplication(["brainviewer"])
