"""What is in the reader's hand: the mouse scheme, and the brush while a mask is corrected."""

from __future__ import annotations

from typing import Literal, TypeVar, get_args

from PySide6.QtCore import QObject, Signal

Scheme = Literal["radiology", "neuro"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
Paint = Literal["", "brush", "eraser"]
PAINTS: tuple[Paint, ...] = get_args(Paint)
Guide = Literal["", "heatmap", "intensity"]
GUIDES: tuple[Guide, ...] = get_args(Guide)

T = TypeVar("T")

SMALLEST_MM, LARGEST_MM = 0.5, 60.0


class Tool(QObject):
    """Mouse scheme: in "radiology" the left button drags window and level, in "neuro" the crosshair.

    paint: "brush" or "eraser" while the left button paints, "" while it does what the scheme says.
    radius_mm: of the brush. solid: paint spheres instead of discs, and work on the whole mask instead of a slice.
    guide: paint only where the heatmap lies above guide_percentile, or where the intensity is alike; "" for everywhere.

    Signals:
        changed: any of these is another.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._scheme: Scheme = "radiology"
        self._paint: Paint = ""
        self._guide: Guide = ""
        self._radius_mm = 5.0
        self._solid = False
        self._guide_percentile = 90.0

    @property
    def scheme(self) -> Scheme:
        """The scheme in use."""
        return self._scheme

    @scheme.setter
    def scheme(self, scheme: Scheme) -> None:
        self._change("_scheme", _one_of(scheme, SCHEMES, "mouse scheme"))

    @property
    def paint(self) -> Paint:
        """What the left button paints with."""
        return self._paint

    @paint.setter
    def paint(self, paint: Paint) -> None:
        self._change("_paint", _one_of(paint, PAINTS, "brush"))

    @property
    def guide(self) -> Guide:
        """What holds the brush back."""
        return self._guide

    @guide.setter
    def guide(self, guide: Guide) -> None:
        self._change("_guide", _one_of(guide, GUIDES, "guide"))

    @property
    def guide_percentile(self) -> float:
        """The heatmap lets the brush paint above this healthy percentile."""
        return self._guide_percentile

    @guide_percentile.setter
    def guide_percentile(self, percentile: float) -> None:
        self._change("_guide_percentile", min(max(float(percentile), 0.0), 100.0))

    @property
    def radius_mm(self) -> float:
        """Radius of the brush."""
        return self._radius_mm

    @radius_mm.setter
    def radius_mm(self, radius_mm: float) -> None:
        self._change("_radius_mm", min(max(float(radius_mm), SMALLEST_MM), LARGEST_MM))

    @property
    def solid(self) -> bool:
        """True for spheres and the whole mask, False for discs and slices."""
        return self._solid

    @solid.setter
    def solid(self, solid: bool) -> None:
        self._change("_solid", bool(solid))

    def _change(self, name: str, value: object) -> None:
        if getattr(self, name) != value:
            setattr(self, name, value)
            self.changed.emit()


def _one_of(value: T, known: tuple[T, ...], what: str) -> T:
    if value not in known:
        raise ValueError(f"There is no {what} {value!r}, only {', '.join(map(repr, known))}.")
    return value
