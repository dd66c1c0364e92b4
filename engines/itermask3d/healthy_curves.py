"""How the error of healthy brains is distributed: that sets gamma, and tells how unusual another brain is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.itermask3d.threshold import STEPS, Floats, choose_threshold

PUBLISHED_GAMMA = 0.05  # until healthy curves are known
LEAST_GAMMA = 1e-9
LEAST_DEVIATION = 0.03  # of a log: a dozen subjects cannot prove that healthy brains differ by less than 3 %
_NAMES = ("itermask3d.gamma", "itermask3d.log_error", "itermask3d.log_tau_means", "itermask3d.log_tau_deviations")


@dataclass(frozen=True, slots=True, eq=False)
class HealthyCurves:
    """What healthy brains have in common.

    means, deviations: of log tau at the percentiles 1..100, float64 (100,). error: mean and standard deviation of the
    log of the mean error that phase B ends with, float64 (2,).
    """

    gamma: float
    means: Floats
    deviations: Floats
    error: Floats

    @classmethod
    def unknown(cls) -> HealthyCurves:
        """Before any healthy curve was measured."""
        return cls(PUBLISHED_GAMMA, np.zeros(STEPS), np.ones(STEPS), np.array([0.0, 1.0]))

    @classmethod
    def measured(cls, curves: Floats, errors: Floats, gamma: float) -> HealthyCurves:
        """Pool the whole curves (n, 100) and final mean errors (n,) of healthy brains."""
        means, deviations = _spread(curves)
        return cls(gamma, means, deviations, np.array(_spread(errors)))

    def distance(self, curve: Floats, error: float) -> float:
        """How unusual a brain is: root mean square of its standardised curve (NaN parts left out) and final error.

        Both look to either side: a blurred scan is filled in too well.
        """
        along = np.nanmean(np.square((_log(curve) - self.means) / self.deviations))
        final = np.square((_log(np.array(error)) - self.error[0]) / self.error[1])
        return float(np.sqrt((along + final) / 2))

    def to_arrays(self) -> dict[str, Floats]:
        """Named arrays for calibration.safetensors."""
        return dict(zip(_NAMES, (np.array([self.gamma]), self.error, self.means, self.deviations), strict=True))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> HealthyCurves:
        """The inverse of to_arrays; unknown() where they are missing or damaged."""
        gamma, error, means, deviations = (np.asarray(arrays.get(name, ()), np.float64) for name in _NAMES)
        sizes = [array.shape for array in (gamma, error, means, deviations)]
        if sizes != [(1,), (2,), (STEPS,), (STEPS,)]:
            return cls.unknown()
        if not all(np.isfinite(array).all() for array in (gamma, error, means, deviations)):
            return cls.unknown()
        if min(gamma[0], error[1], deviations.min()) <= 0:
            return cls.unknown()
        return cls(float(gamma[0]), means, deviations, error)


def gamma_of(curves: Floats, healthy_step: int, y_limit: float) -> float:
    """The median slope of healthy curves (n, 100) at their healthy_step-th percentile.

    With it as gamma half of the healthy brains get a threshold beyond that percentile of their own error.
    """
    slopes = [choose_threshold(curve, PUBLISHED_GAMMA, y_limit).slopes[healthy_step - 1] for curve in curves]
    return max(float(np.median(slopes)), LEAST_GAMMA)


def _spread(values: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the logs of n values or rows."""
    logs = _log(values)
    deviation = logs.std(0, ddof=1) if len(logs) > 1 else np.zeros(logs.shape[1:])
    return logs.mean(0), np.hypot(deviation, LEAST_DEVIATION)


def _log(curves: Floats) -> Floats:
    # Rounding keeps even a perfect filling above this.
    return np.asarray(np.log(np.maximum(curves, 1e-8)))
