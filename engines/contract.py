"""What every engine offers. Protocols, not base classes: an engine needs only the right shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engines.card import Card
from engines.result import AnomalyResult
from engines.volume import Volume

if TYPE_CHECKING:
    from engines.samples import Cohort

Report = Callable[[int, int, str], None]
"""report(done, total, text): tells progress; raises Cancelled when the user stopped the work."""


def silent(done: int, total: int, text: str) -> None:
    """A report that nobody listens to."""


@runtime_checkable
class Engine(Protocol):
    """Finds what does not belong. Made by catalog.create(key, model=folder, device="auto")."""

    card: Card

    def detect(self, volume: Volume, report: Report = silent) -> AnomalyResult:
        """Heatmap, slice scores and study score of one volume. Same volume, same result."""
        ...


@runtime_checkable
class Trainable(Protocol):
    """An engine class that can learn a model from a cohort."""

    @classmethod
    def fit(
        cls,
        cohort: Cohort,
        out: Path,
        settings: Any = None,
        *,
        device: str = "auto",
        resume: bool = False,
        report: Report = silent,
    ) -> Path:
        """Train on the cohort's train split, calibrate on healthy val subjects, write a model package to out."""
        ...

    @classmethod
    def calibrate(cls, model: Path, cohort: Cohort, *, device: str = "auto", report: Report = silent) -> None:
        """Measure the healthy percentiles anew on the cohort's healthy val subjects and store them in the package."""
        ...


@runtime_checkable
class Rethresholdable(Protocol):
    """An engine whose results hold THRESHOLD_CURVE, and that can use another gamma without making the curve anew."""

    def rethreshold(
        self, volume: Volume, curve: NDArray[np.floating[Any]], gamma: float, report: Report = silent
    ) -> AnomalyResult:
        """The result for another gamma, from the curve of a former result of the same volume and model."""
        ...
