"""Calibration: what an engine's numbers are among held-out healthy volumes, so that they mean the same everywhere.

Raw heatmaps of two engines cannot be compared and a per-image scale makes healthy scans glow. Three scales are
measured on healthy subjects a model never saw, each subject counting the same: heatmap value, slice score at the
same height of the brain, study score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import BadModel
from engines.result import DEFAULT_PERCENTILE, AnomalyResult, PercentileScale, Provenance
from engines.volume import Volume

# With fewer healthy subjects a study's percentile would be an empty promise.
FEWEST_STUDIES = 8
# One percent of healthy tissue lies above the default threshold; the largest tumours fill a fifth of the brain.
IMPLAUSIBLE_SHARE = 0.3

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SliceScale:
    """Slice scores of healthy slices by height: ventricles and vertex score differently in health too.

    heights, means, deviations: float64 (points,), mean and standard deviation at heights 0..1.
    scale: standardised score -> percentile, over all heights together.
    """

    heights: Floats
    means: Floats
    deviations: Floats
    scale: PercentileScale

    def standardised(self, scores: NDArray[Any], heights: NDArray[Any]) -> Floats:
        """Slice scores as standard deviations from the healthy mean at their height; NaN stays NaN."""
        means = np.interp(heights, self.heights, self.means)
        return np.asarray((scores - means) / np.interp(heights, self.heights, self.deviations), np.float64)

    def percentiles(self, scores: NDArray[Any], heights: NDArray[Any]) -> NDArray[np.float32]:
        """Percentile (0..100) of slice scores among healthy slices at the same height; NaN stays NaN."""
        return np.asarray(self.scale.percentile(self.standardised(scores, heights)), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """The three healthy scales of a model. study is None where there were fewer than FEWEST_STUDIES subjects."""

    heatmap: PercentileScale
    slices: SliceScale
    study: PercentileScale | None
    subjects: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the percentiles must know, for the provenance of a run."""
        if self.study is not None:
            return ()
        return (
            f"The model was calibrated on {self.subjects} healthy subjects, too few ({FEWEST_STUDIES} needed) "
            "for a percentile of the study's score.",
        )

    def study_percentile(self, score: float) -> float:
        """Percentile of a study's score among healthy studies; NaN where the model has too few."""
        return float("nan") if self.study is None else float(self.study.percentile(score))

    def result(
        self,
        volume: Volume,
        heatmap: NDArray[np.float32],
        region: NDArray[np.bool_],
        slice_scores: NDArray[np.float32],
        score: float,
        provenance: Provenance,
        extras: Mapping[str, NDArray[Any]] | None = None,
        heights: NDArray[Any] | None = None,
    ) -> AnomalyResult:
        """An engine's raw numbers with their percentiles.

        heatmap: outside the region it becomes 0. heights: of the slices, as the engine told HealthyScores;
        slice_heights(region ...) where it has no own.
        """
        axis = volume.slice_axis
        threshold = self.heatmap.value(DEFAULT_PERCENTILE)
        provenance = _doubted(provenance, float((heatmap[region] > threshold).mean()) if region.any() else 0.0)
        if heights is None:
            heights = slice_heights(region, volume.affine, axis)
        return AnomalyResult(
            heatmap=np.where(region, heatmap, 0).astype(np.float32),
            scale=self.heatmap,
            region=region,
            slice_axis=axis,
            slice_scores=slice_scores,
            slice_percentiles=self.slices.percentiles(slice_scores, heights),
            score=score,
            score_percentile=self.study_percentile(score),
            threshold=threshold,
            provenance=provenance,
            extras=extras or {},
        )

    def to_arrays(self) -> dict[str, Floats]:
        """Named arrays for calibration.safetensors."""
        study = self.study or PercentileScale(np.empty(0), np.empty(0))
        return {
            "heatmap.values": self.heatmap.values,
            "heatmap.percentiles": self.heatmap.percentiles,
            "slices.heights": self.slices.heights,
            "slices.means": self.slices.means,
            "slices.deviations": self.slices.deviations,
            "slices.values": self.slices.scale.values,
            "slices.percentiles": self.slices.scale.percentiles,
            "study.values": study.values,
            "study.percentiles": study.percentiles,
            "subjects": np.array([self.subjects], np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Calibration:
        """The calibration stored in a package (other names, an engine's own, are ignored); raises BadModel."""
        found = {name: _checked(arrays, name) for name in _NAMES}
        slices = SliceScale(
            _increasing(found, "slices.heights"),
            found["slices.means"],
            found["slices.deviations"],
            _scale(found, "slices"),
        )
        if not len(slices.heights) == len(slices.means) == len(slices.deviations) or slices.deviations.min() <= 0:
            raise BadModel("The calibration's slice scale is damaged.", "Calibrate the model again.")
        study = _scale(found, "study") if len(found["study.values"]) else None
        return cls(_scale(found, "heatmap"), slices, study, int(found["subjects"][0]))


_NAMES = (
    "heatmap.values", "heatmap.percentiles", "slices.heights", "slices.means", "slices.deviations", "slices.values",
    "slices.percentiles", "study.values", "study.percentiles", "subjects",
)  # fmt: skip


def _doubted(provenance: Provenance, share: float) -> Provenance:
    """Warn where far more lies above the threshold than a lesion could fill."""
    if share <= IMPLAUSIBLE_SHARE:
        return provenance
    warning = (
        f"{share:.0%} of the scored voxels lie above the healthy {DEFAULT_PERCENTILE:g}th percentile: this scan "
        "differs as a whole from those the model was calibrated on (scanner, protocol, preparation). "
        "Do not read its heatmap as findings."
    )
    return replace(provenance, warnings=(*provenance.warnings, warning))


def slice_heights(region: NDArray[np.bool_], affine: Floats, axis: int) -> Floats:
    """Height of each slice within the scored region: 0 at its lower end, 1 at its upper; NaN outside.

    Up is the direction of increasing patient coordinate (right, anterior, superior) nearest to the slice axis.
    """
    others = tuple(other for other in range(3) if other != axis)
    inside = np.flatnonzero(region.any(axis=others))
    heights = np.full(region.shape[axis], np.nan)
    if len(inside) == 0:
        return heights
    first, last = int(inside[0]), int(inside[-1])
    heights[first : last + 1] = np.linspace(0, 1, last - first + 1) if last > first else 0.5
    direction = affine[:3, axis]
    upward = direction[np.abs(direction).argmax()] > 0
    return heights if upward else 1 - heights


def _checked(arrays: Mapping[str, NDArray[Any]], name: str) -> Floats:
    array = np.asarray(arrays.get(name, np.full(1, np.nan)), np.float64)
    required = not name.startswith("study.")
    if array.ndim != 1 or not np.isfinite(array).all() or (required and not len(array)):
        raise BadModel(f"The calibration's table '{name}' is missing or damaged.", "Calibrate the model again.")
    return array


def _increasing(found: Mapping[str, Floats], name: str) -> Floats:
    if (np.diff(found[name]) <= 0).any():
        raise BadModel(f"The calibration's table '{name}' is not increasing.", "Calibrate the model again.")
    return found[name]


def _scale(found: Mapping[str, Floats], name: str) -> PercentileScale:
    values = _increasing(found, f"{name}.values")
    percentiles = _increasing(found, f"{name}.percentiles")
    if len(values) != len(percentiles) or percentiles[0] < 0 or percentiles[-1] > 100:
        raise BadModel(f"The calibration's scale '{name}' is damaged.", "Calibrate the model again.")
    return PercentileScale(values, percentiles)
