"""The signs of healthy scans: their curves set gamma, and all of them tell how unusual another scan is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.itermask3d.signs import GROUPS, Signs
from engines.itermask3d.threshold import Floats, choose_threshold

PUBLISHED_GAMMA = 0.05  # until healthy curves are known
LEAST_GAMMA = 1e-9
NAME = "itermask3d."


@dataclass(frozen=True, slots=True, eq=False)
class HealthySigns:
    """What healthy scans have in common: means and standard deviations of each group of GROUPS, NaN where unknown."""

    gamma: float
    means: Mapping[str, Floats]
    deviations: Mapping[str, Floats]

    @classmethod
    def unknown(cls) -> HealthySigns:
        """Before any healthy scan was measured."""
        return cls(PUBLISHED_GAMMA, *({name: np.full(size, np.nan) for name, (size, _) in GROUPS.items()},) * 2)

    @classmethod
    def measured(cls, found: Sequence[Signs], gamma: float) -> HealthySigns:
        """Pool the signs of healthy scans; those that do not have a group say nothing about it."""
        healthy = cls.unknown()
        means, deviations = dict(healthy.means), dict(healthy.deviations)
        for name, (_, least) in GROUPS.items():
            values = np.stack([getattr(one, name) for one in found])
            values = values[np.isfinite(values).all(1)]
            if not len(values):
                continue
            means[name] = values.mean(0)
            spread = values.std(0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])
            deviations[name] = np.hypot(spread, least)
        return cls(gamma, means, deviations)

    def distances(self, found: Signs) -> dict[str, float]:
        """How far each group lies from healthy ones: root mean square of its standardised values, NaN where unknown.

        To either side: a blurred scan is filled in too well.
        """
        away = {}
        for name in GROUPS:
            squares = np.square((getattr(found, name) - self.means[name]) / self.deviations[name])
            known = squares[np.isfinite(squares)]
            away[name] = float(np.sqrt(known.mean())) if len(known) else float("nan")
        return away

    def distance(self, found: Signs) -> float:
        """How unusual a scan is: root mean square over the groups that are known; 0 where none is."""
        return together(self.distances(found))

    def to_arrays(self) -> dict[str, Floats]:
        """Named arrays for calibration.safetensors."""
        pairs = {f"{NAME}{name}": np.stack([self.means[name], self.deviations[name]]) for name in GROUPS}
        return {f"{NAME}gamma": np.array([self.gamma]), **pairs}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> HealthySigns:
        """The inverse of to_arrays; a group that is missing or damaged is unknown, and without gamma all are."""
        gamma = np.asarray(arrays.get(f"{NAME}gamma", ()), np.float64)
        found = cls.unknown()
        if gamma.shape != (1,) or not np.isfinite(gamma[0]) or gamma[0] <= 0:
            return found
        means, deviations = dict(found.means), dict(found.deviations)
        for name, (size, _) in GROUPS.items():
            pair = np.asarray(arrays.get(f"{NAME}{name}", ()), np.float64)
            if pair.shape == (2, size) and not pair[1].min() <= 0:
                means[name], deviations[name] = pair
        return cls(float(gamma[0]), means, deviations)


def together(distances: Mapping[str, float]) -> float:
    """Root mean square of the distances that are known; 0 where none is."""
    known = [value for value in distances.values() if np.isfinite(value)]
    return float(np.sqrt(np.mean(np.square(known)))) if known else 0.0


def gamma_of(curves: Floats, healthy_step: int, y_limit: float) -> float:
    """The median slope of healthy curves (n, 100) at their healthy_step-th percentile.

    With it as gamma half of the healthy brains get a threshold beyond that percentile of their own error.
    """
    slopes = [choose_threshold(curve, PUBLISHED_GAMMA, y_limit).slopes[healthy_step - 1] for curve in curves]
    return max(float(np.median(slopes)), LEAST_GAMMA)
