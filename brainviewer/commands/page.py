"""Pages that the commands write: one HTML file each, with figures as vector graphics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Okabe-Ito, as in the window: colour and dash together tell the curves apart.
STYLES = (
    ("#e69f00", ""), ("#56b4e9", "6 3"), ("#009e73", "2 3"), ("#cc79a7", "7 3 2 3"), ("#0072b2", "7 3 2 3 2 3"),
    ("#d55e00", ""), ("#5a626c", "4 4"), ("#1c2127", "1 4"),
)  # fmt: skip
WIDTH, HEIGHT = 340, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 328, 26, 256


@dataclass(frozen=True, slots=True)
class Tick:
    """Where it stands in the picture, and what is written."""

    at: float
    text: str


@dataclass(slots=True)
class Figure:
    """One plot, in the words of resources/templates/figures.html. span: lowest and highest value across and up."""

    title: str
    across: str
    up: str
    span: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 1.0)
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    top: int = TOP
    bottom: int = BOTTOM
    lines: list[dict[str, Any]] = field(default_factory=list)
    levels: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ticks_across(self) -> list[Tick]:
        """Five values along the lower edge."""
        return [Tick(self._x(value), f"{value:.4g}") for value in np.linspace(*self.span[:2], 5)]

    @property
    def ticks_up(self) -> list[Tick]:
        """Five values along the left edge."""
        return [Tick(self._y(value), f"{value:.4g}") for value in np.linspace(*self.span[2:], 5)]

    def add(self, title: str, x: Floats, y: Floats, *, dots: bool = False) -> None:
        """One more curve, or a cloud of dots."""
        colour, dash = STYLES[len(self.lines) % len(STYLES)]
        places = [(self._x(a), self._y(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        points = "" if dots else " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        line = {"title": title, "colour": colour, "dash": dash, "points": points, "dots": places if dots else ()}
        self.lines.append(line)

    def level(self, title: str, value: float) -> None:
        """A line across at a value."""
        self.levels.append({"title": title, "x1": LEFT, "x2": RIGHT, "y1": self._y(value), "y2": self._y(value)})

    def diagonal(self) -> None:
        """What a coin reaches in a ROC plot."""
        self.levels.append({"title": "", "x1": LEFT, "x2": RIGHT, "y1": BOTTOM, "y2": TOP})

    def _x(self, value: float) -> float:
        low, high = self.span[:2]
        return round(LEFT + (value - low) / ((high - low) or 1) * (RIGHT - LEFT), 1)

    def _y(self, value: float) -> float:
        low, high = self.span[2:]
        return round(BOTTOM - (value - low) / ((high - low) or 1) * (BOTTOM - TOP), 1)


def roc_figure(title: str = "ROC") -> Figure:
    """An empty ROC plot with the coin's line."""
    figure = Figure(title, "False positive rate", "True positive rate")
    figure.diagonal()
    return figure


def precision_figure(title: str, prevalence: float) -> Figure:
    """An empty plot of precision over recall with the coin's line."""
    figure = Figure(title, "Recall", "Precision")
    figure.level(f"prevalence {prevalence:.3f}", prevalence)
    return figure


def render(template: str, **values: Any) -> str:
    """Fill a template of resources/templates; everything is escaped."""
    import jinja2

    import brainviewer
    from brainviewer.storage.folders import resources_dir

    loader = jinja2.FileSystemLoader(resources_dir() / "templates")
    page = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True).get_template(template)
    return page.render(made=f"BrainViewer {brainviewer.__version__}", **values)


def shown(value: Any) -> str:
    """A value of a table as people read it."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def rows_shown(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A table's cells as text."""
    return [[*map(shown, row.values())] for row in rows]
