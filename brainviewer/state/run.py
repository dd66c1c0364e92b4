"""One engine's result on one series, ready to be shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

from engines import AnomalyResult

_ids = count(1)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A finished run.

    engine: key. title: engine and model for the screen. model: its folder, as text. series_uid: what it ran on.
    percentiles: float32 (i, j, k), healthy percentile of each voxel, made in the worker.
    """

    engine: str
    title: str
    model: str
    series_uid: str
    result: AnomalyResult
    percentiles: NDArray[np.float32]
    id: int = field(default_factory=lambda: next(_ids))

    @property
    def identity(self) -> tuple[str, str, str]:
        """Runs that share it give the same result: engine, model and series."""
        return self.engine, self.model, self.series_uid
