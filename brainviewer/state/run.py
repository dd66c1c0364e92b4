"""One engine's result on one series, ready to be shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from engines import AnomalyResult


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A finished run.

    engine: key. title: engine and model for the screen. model: its folder, as text. series_uid: what it ran on.
    percentiles: float32 (i, j, k), healthy percentile of each voxel, made in the worker. key: its name in the library.
    """

    engine: str
    title: str
    model: str
    series_uid: str
    result: AnomalyResult
    percentiles: NDArray[np.float32]
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    key: str = field(default_factory=lambda: uuid4().hex)

    @property
    def identity(self) -> tuple[str, str, str]:
        """Runs that share it give the same result: engine, weights and series."""
        return self.engine, self.result.provenance.model_digest, self.series_uid
