"""From the curve of error percentiles to the error above which tissue counts as abnormal.

In a healthy brain the percentiles of the error rise slowly and steeply only at the end; tau(t) = a tan(b t) is fitted
to them, and the threshold is where its slope first exceeds gamma. Runs on the host in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

STEPS = 100
GATE = 0.85  # least R^2 of a fit that is believed
GATE_STEPS = 80  # R^2 looks at these first points: the last ones belong to a handful of voxels
SMOOTH_STEPS = 5
GRID = 400  # values of b tried before the refinement

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """The threshold and how it came about.

    slopes: of the curve at 1..100. step: k*, 1..100. a, b, r2: of the fit, NaN where it failed. fitted: the slopes are
    the fit's, not the smoothed differences. crossed: False where the slope never exceeded gamma or did so at once, so
    that gamma does not fit.
    """

    slopes: Floats
    step: int
    threshold: float
    a: float
    b: float
    r2: float
    fitted: bool
    crossed: bool


def choose_threshold(curve: Floats, gamma: float, y_limit: float, uncrossed: int = 1) -> Decision:
    """The decision for the percentiles tau(1..100) of a volume's error, in squared standard deviations.

    uncrossed: the step taken where no slope exceeds gamma; published 1, which masks nearly the whole brain.
    The curve's end may be unknown (NaN) where the decision is_settled without it.
    """
    a, b = fit_tangent(curve, y_limit)
    steps = np.arange(1, STEPS + 1)
    r2 = _r2(curve[:GATE_STEPS], a * np.tan(b * steps[:GATE_STEPS]))
    fitted = r2 >= GATE  # False for NaN too
    slopes = a * b / np.cos(b * steps) ** 2 if fitted else smoothed_differences(curve)
    above = np.flatnonzero(slopes > gamma)
    step = int(above[0]) + 1 if len(above) else uncrossed
    return Decision(slopes, step, float(curve[step - 1]), a, b, r2, fitted, len(above) > 0 and step > 1)


def is_settled(curve: Floats, gamma: float, y_limit: float, uncrossed: int = 1) -> bool:
    """True when no further percentile can change the decision; those not known yet are NaN.

    The fit ends where the curve exceeds y_limit and its R^2 looks at the first GATE_STEPS points, so both are final
    then; what is left is that the threshold's own percentile is known.
    """
    known = int(np.isfinite(curve).sum())
    if known == STEPS:
        return True
    if known < GATE_STEPS or not (curve > y_limit).any():
        return False
    decision = choose_threshold(curve, gamma, y_limit, uncrossed)
    # Smoothed differences at the end of what is known are NaN: they cross nothing yet.
    return decision.step <= known and (decision.fitted or bool(decision.slopes[decision.step - 1] > gamma))


def fit_tangent(curve: Floats, y_limit: float) -> tuple[float, float]:
    """Least squares a, b of a tan(b t) over the points before tau first exceeds y_limit; NaN where there is none.

    For given b the best a is known, so the error is a function of b alone (variable projection); 0 < b < pi / (2 n)
    keeps the pole behind the n points. A minimum at b -> 0 means a straight line, which no tangent fits.
    """
    beyond = np.flatnonzero(curve > y_limit)
    points = curve[: beyond[0]] if len(beyond) else curve
    n = len(points)
    if n < 3:
        return float("nan"), float("nan")
    steps = np.arange(1, n + 1)

    def slope(b: float) -> float:
        shape = np.tan(b * steps)
        return float(shape @ points / (shape @ shape))

    def error(b: float) -> float:
        return float(np.square(points - slope(b) * np.tan(b * steps)).sum())

    tried = np.linspace(0, np.pi / (2 * n), GRID + 2)[1:-1]
    best = int(np.argmin([error(b) for b in tried]))
    if best == 0:
        return float("nan"), float("nan")
    upper = tried[best + 1] if best + 1 < GRID else np.pi / (2 * n) * (1 - 1e-9)
    found = optimize.minimize_scalar(error, bounds=(tried[best - 1], upper), method="bounded", options={"xatol": 1e-12})
    return slope(float(found.x)), float(found.x)


def smoothed_differences(curve: Floats) -> Floats:
    """tau(t) - tau(t - 1), the first one tau(1) itself, as centred means of five that shrink at the ends."""
    differences = np.diff(curve, prepend=0.0)
    half = SMOOTH_STEPS // 2
    return np.array([differences[max(0, t - half) : t + half + 1].mean() for t in range(len(curve))])


def _r2(values: Floats, fitted: Floats) -> float:
    spread = float(np.square(values - values.mean()).sum())
    return 1 - float(np.square(values - fitted).sum()) / spread if spread > 0 else float("nan")
