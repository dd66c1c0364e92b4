"""Where each view lies in the window: axial large on the left, sagittal above coronal on the right."""

from __future__ import annotations

from typing import NamedTuple

from brainviewer.render.geometry import PLANES, Plane

_AXIAL_SHARE = 0.64


class Rectangle(NamedTuple):
    """Device pixels from the upper left corner."""

    left: int
    top: int
    width: int
    height: int

    def holds(self, x: float, y: float) -> bool:
        """True where the point lies inside."""
        return self.left <= x < self.left + self.width and self.top <= y < self.top + self.height


def rectangles(
    width: int, height: int, gap: int, only: Plane | None = None, *, stacked: bool = False
) -> dict[Plane, Rectangle]:
    """The shown views and their places; `only` fills the window with one of them, stacked = all below each other."""
    if only is not None:
        return {only: Rectangle(0, 0, max(1, width), max(1, height))}
    if stacked:
        share = max(1, (height - 2 * gap) // len(PLANES))
        return {plane: Rectangle(0, n * (share + gap), max(1, width), share) for n, plane in enumerate(PLANES)}
    large = max(1, round((width - gap) * _AXIAL_SHARE))
    small = max(1, width - gap - large)
    upper = max(1, (height - gap) // 2)
    lower = max(1, height - gap - upper)
    return {
        "axial": Rectangle(0, 0, large, max(1, height)),
        "sagittal": Rectangle(large + gap, 0, small, upper),
        "coronal": Rectangle(large + gap, upper + gap, small, lower),
    }
