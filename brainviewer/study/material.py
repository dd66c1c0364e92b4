"""A run with all that exports and reports are made from: its scan, its findings, what a reader changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brainviewer.study.study import Series, Study
from engines import AnomalyResult, Volume

if TYPE_CHECKING:
    from engines.findings import Finding


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The scan a run was made on."""

    study: Study
    series: Series


@dataclass(frozen=True, eq=False)
class Material:
    """One run, ready to be written down.

    volume: the scan, or the heatmap where the scan is not at hand (source is None then).
    percentiles: healthy percentiles (i, j, k), 0 outside the scored region. threshold: healthy percentile.
    mask: bool (i, j, k), above the threshold or as the reader corrected it. corrected_by: the reader, "" for none.
    findings: the places of the mask, the largest first. labels: uint8 (i, j, k), number of the finding from 1.
    side_known: False where left and right mean nothing.
    """

    result: AnomalyResult
    volume: Volume
    percentiles: NDArray[np.float32]
    threshold: float
    mask: NDArray[np.bool_]
    findings: tuple[Finding, ...]
    labels: NDArray[np.uint8]
    source: Source | None = None
    side_known: bool = True
    corrected_by: str = ""

    @property
    def engine(self) -> str:
        """Key of the engine; also the beginning of every file name, because it never names a patient."""
        return self.result.provenance.engine

    @property
    def model(self) -> str:
        """Name and version of the model."""
        return self.result.provenance.model

    @cached_property
    def mask_ml(self) -> float | None:
        """Volume of the mask; None where the voxel size is unknown."""
        if not self.volume.calibrated:
            return None
        return float(self.mask.sum()) * abs(float(np.linalg.det(self.volume.affine[:3, :3]))) / 1000

    @property
    def identity(self) -> str:
        """The same text for the same run, whenever it is exported: names findings across exports."""
        how = self.result.provenance
        changed = f"{self.corrected_by} {int(self.mask.sum())}" if self.corrected_by else ""
        return f"{how.volume_uid} {how.engine} {how.model_digest} {self.threshold:g} {changed}"
