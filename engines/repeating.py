"""A stored run done again: is it the same?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engines.metrics import dice
from engines.result import AnomalyResult

# Another device, precision or thread count adds up in another order; more than this in percentiles is a difference.
TOLERANCE = 1.0


@dataclass(frozen=True, slots=True)
class Repetition:
    """A stored run beside its repetition.

    identical: bit for bit. largest, mean: differences of the heatmaps in healthy percentiles. dice: of the masks at
    the stored threshold; NaN where both are empty. score: difference of the study scores. changed: what was
    different in how they were made ("torch 2.12 -> 2.13").
    """

    identical: bool
    largest: float
    mean: float
    dice: float
    score: float
    changed: tuple[str, ...]

    @property
    def same(self) -> bool:
        """True when no voxel differs by more than rounding does."""
        return self.identical or self.largest <= TOLERANCE

    def __str__(self) -> str:
        """One sentence for people."""
        if self.identical:
            said = "The repetition is identical, bit for bit."
        else:
            said = (
                f"The repetition {'agrees' if self.same else 'differs'}: by {self.largest:.3g} healthy percentiles at "
                f"most, {self.mean:.2g} on average; Dice of the masks {self.dice:.3f}."
            )
        return said + (f" Made differently: {'; '.join(self.changed)}." if self.changed else "")


def compare(stored: AnomalyResult, again: AnomalyResult) -> Repetition:
    """Set a repetition beside the stored run; both on the same grid, else ValueError."""
    if stored.heatmap.shape != again.heatmap.shape:
        raise ValueError(f"The runs lie on grids of {stored.heatmap.shape} and {again.heatmap.shape} voxels.")
    either = stored.region | again.region
    first, second = (
        np.where(run.region, run.scale.percentile(run.heatmap), 0)[either].astype(float) for run in (stored, again)
    )
    apart = np.abs(first - second)
    identical = (
        np.array_equal(stored.heatmap, again.heatmap)
        and np.array_equal(stored.region, again.region)
        and np.array_equal(stored.slice_scores, again.slice_scores, equal_nan=True)
    )
    return Repetition(
        identical=identical,
        largest=float(apart.max(initial=0)),
        mean=float(apart.mean()) if apart.size else 0.0,
        dice=dice(stored.mask(), again.mask()),
        score=again.score - stored.score,
        changed=_changed(stored, again),
    )


def _changed(stored: AnomalyResult, again: AnomalyResult) -> tuple[str, ...]:
    then, now = stored.provenance, again.provenance
    pairs = {
        "model": (then.model_digest[:12], now.model_digest[:12]),
        "device": (then.device, now.device),
        "precision": (then.precision, now.precision),
        "volume": (then.volume_uid, now.volume_uid),
    }
    for name in sorted({*then.settings, *now.settings}):
        pairs[name] = (str(then.settings.get(name)), str(now.settings.get(name)))
    for name in sorted({*then.versions, *now.versions}):
        pairs[name] = (str(then.versions.get(name)), str(now.versions.get(name)))
    return tuple(f"{name} {before} -> {after}" for name, (before, after) in pairs.items() if before != after)
