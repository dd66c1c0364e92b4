"""What an engine says about a volume, and the scale that makes its numbers mean something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEFAULT_PERCENTILE = 99.0
# Extras of engines that shrink a mask to a threshold; a viewer that finds all of them can show how, and ask for another
# gamma. Curves of 100: percentiles 1..100 of the error, and their slopes (the threshold lies where the slope first
# exceeds gamma). uint32 (i, j, k): bit n is set where the n-th mask covers the voxel. Curve: each mask's share of the
# scored voxels, from the first mask to the final one.
THRESHOLD_CURVE, THRESHOLD_SLOPES = "threshold curve", "threshold slopes"
ITERATION_MASKS, ITERATION_SHARES = "iteration masks", "iteration shares"
# How far each of a scan's signs of quality lies from healthy scans, in standard deviations: float64 (6,), NaN where it
# is unknown.
SIGNS, SIGN_NAMES = "signs", ("curve", "error", "grey", "sharpness", "air", "shading")


@dataclass(frozen=True, slots=True, eq=False)
class PercentileScale:
    """Raw value -> percentile of held-out healthy tissue (or slices): a monotone table.

    values: float64 (n,), increasing; percentiles: float64 (n,), 0..100, increasing.
    """

    values: NDArray[np.float64]
    percentiles: NDArray[np.float64]

    def percentile(self, raw: NDArray[np.floating[Any]] | float) -> NDArray[np.float32]:
        """Healthy percentile (0..100) of raw values; NaN stays NaN."""
        return np.asarray(np.interp(raw, self.values, self.percentiles), np.float32)

    def value(self, percentile: float) -> float:
        """The raw value below which that percentage of healthy tissue lies."""
        return float(np.interp(percentile, self.percentiles, self.values))


@dataclass(frozen=True, slots=True)
class Provenance:
    """Everything needed to repeat a run."""

    engine: str
    model: str
    model_digest: str
    settings: Mapping[str, Any]
    device: str
    precision: str
    seconds: float
    volume_uid: str
    preparation: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary for result.json."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class AnomalyResult:
    """One engine's finding on one volume, on the volume's own grid.

    heatmap: float32 (i, j, k), raw values of the engine, higher = more abnormal, 0 outside the scored region.
    scale: raw heatmap value -> healthy percentile.
    region: bool (i, j, k), the voxels that were scored (brain or foreground).
    slice_axis: voxel axis of the slice scores.
    slice_scores: float32 (slices,), raw; NaN where a slice was not scored.
    slice_percentiles: float32 (slices,), percentile among healthy slices at the same height; NaN likewise.
    score, score_percentile: the study's score, raw and among healthy studies (NaN if the model has too few).
    threshold: raw heatmap value of the default healthy percentile (DEFAULT_PERCENTILE).
    extras: named arrays on the volume's grid (restored picture, attention) or curves (1D).
    """

    heatmap: NDArray[np.float32]
    scale: PercentileScale
    region: NDArray[np.bool_]
    slice_axis: int
    slice_scores: NDArray[np.float32]
    slice_percentiles: NDArray[np.float32]
    score: float
    score_percentile: float
    threshold: float
    provenance: Provenance
    extras: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def mask(self, percentile: float = DEFAULT_PERCENTILE) -> NDArray[np.bool_]:
        """Voxels above a healthy percentile, inside the scored region."""
        above: NDArray[np.bool_] = (self.heatmap > self.scale.value(percentile)) & self.region
        return above
