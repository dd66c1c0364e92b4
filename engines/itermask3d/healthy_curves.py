"""What the percentile curves of healthy brains look like: they set gamma, and tell how unusual another curve is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.itermask3d.threshold import STEPS, Floats, choose_threshold

PUBLISHED_GAMMA = 0.05  # until healthy curves are known
LEAST_GAMMA = 1e-9
LEAST_DEVIATION = 0.03  # of log tau: a dozen subjects cannot prove that healthy curves differ by less than 3 %
_GAMMA, _MEANS, _DEVIATIONS = "itermask3d.gamma", "itermask3d.log_tau_means", "itermask3d.log_tau_deviations"


@dataclass(frozen=True, slots=True, eq=False)
class HealthyCurves:
    """gamma, and mean and standard deviation of log tau at the percentiles 1..100: float64 (100,) each."""

    gamma: float
    means: Floats
    deviations: Floats

    @classmethod
    def unknown(cls) -> HealthyCurves:
        """Before any healthy curve was measured."""
        return cls(PUBLISHED_GAMMA, np.zeros(STEPS), np.ones(STEPS))

    @classmethod
    def measured(cls, curves: Floats, gamma: float) -> HealthyCurves:
        """Pool the whole curves (n, 100) of healthy brains."""
        logs = _log(curves)
        spread = logs.std(0, ddof=1) if len(curves) > 1 else np.zeros(STEPS)
        return cls(gamma, logs.mean(0), np.hypot(spread, LEAST_DEVIATION))

    def distance(self, curve: Floats) -> float:
        """Root mean square of a curve's deviation from healthy ones, in standard deviations; NaN parts are left out.

        It looks both ways: a blurred scan is filled in too well.
        """
        return float(np.sqrt(np.nanmean(np.square((_log(curve) - self.means) / self.deviations))))

    def to_arrays(self) -> dict[str, Floats]:
        """Named arrays for calibration.safetensors."""
        return {_GAMMA: np.array([self.gamma]), _MEANS: self.means, _DEVIATIONS: self.deviations}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> HealthyCurves:
        """The inverse of to_arrays; unknown() where they are missing or damaged."""
        found = [np.asarray(arrays.get(name, ()), np.float64) for name in (_GAMMA, _MEANS, _DEVIATIONS)]
        shapes = [(1,), (STEPS,), (STEPS,)]
        whole = all(
            array.shape == shape and np.isfinite(array).all() for array, shape in zip(found, shapes, strict=True)
        )
        if not whole or found[0][0] <= 0 or found[2].min() <= 0:
            return cls.unknown()
        return cls(float(found[0][0]), found[1], found[2])


def gamma_of(curves: Floats, healthy_step: int, y_limit: float) -> float:
    """The median slope of healthy curves (n, 100) at their healthy_step-th percentile.

    With it as gamma half of the healthy brains get a threshold beyond that percentile of their own error.
    """
    slopes = [choose_threshold(curve, PUBLISHED_GAMMA, y_limit).slopes[healthy_step - 1] for curve in curves]
    return max(float(np.median(slopes)), LEAST_GAMMA)


def _log(curves: Floats) -> Floats:
    # Rounding keeps even a perfect filling above this.
    return np.asarray(np.log(np.maximum(curves, 1e-8)))
