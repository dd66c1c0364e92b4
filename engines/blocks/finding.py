"""What engines on features of places have in common once the heat is known: result, provenance, first calibration."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engines.blocks.place_scores import Heat, PlaceScale, scored_region, study_score
from engines.blocks.slab_features import Seen
from engines.calibration import Calibration, slice_heights
from engines.device import Device
from engines.model_card import ModelCard
from engines.new_model import nobody
from engines.result import AnomalyResult, Provenance
from engines.volume import Volume


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Run:
    """How a result came about: model, device it was meant for and ran on, warnings, monotonic time of the start."""

    card: ModelCard
    settings: Any
    device: Device
    ran_on: str
    warnings: tuple[str, ...]
    started: float


def finding(
    volume: Volume, seen: Seen, heat: Heat, calibration: Calibration, run: Run, extras: Mapping[str, NDArray[Any]]
) -> AnomalyResult:
    """The result on the volume's own grid; extras: maps of the prepared slices (n, S, S) by name."""
    stack, coarse = seen.stack, seen.coarse
    small = coarse.volume
    region = coarse.region(scored_region(seen))
    scores = stack.per_slice(heat.slice_scores)
    heights = slice_heights(stack.region, small.affine, small.slice_axis)
    spacing = " x ".join(f"{mm:.3g}" for mm in small.spacing_mm)
    provenance = Provenance(
        engine=run.card.engine,
        model=f"{run.card.name} {run.card.version}",
        model_digest=run.card.digest,
        settings=dataclasses.asdict(run.settings),
        device=run.ran_on,
        precision=run.device.precision if run.ran_on == run.device.name else "fp32",
        seconds=time.monotonic() - run.started,
        volume_uid=volume.uid,
        preparation=(f"voxels of {spacing} mm", *stack.steps),
        warnings=(*calibration.warnings, *run.warnings, *run.card.modality_warning(volume.modality)),
        versions={"torch": str(torch.__version__), "numpy": np.__version__},
    )
    return calibration.result(
        volume,
        coarse.to_native(stack.to_volume(heat.maps)),
        region,
        coarse.per_slice(scores),
        study_score(scores, calibration.slices.standardised(scores, heights)),
        provenance,
        {name: np.where(region, coarse.to_native(stack.to_volume(maps)), 0) for name, maps in extras.items()},
        heights=coarse.per_slice(heights),
    )


def no_calibration(*places: str) -> dict[str, NDArray[Any]]:
    """What a package holds until its healthy volumes have been measured; places: names of its scores."""
    unknown = PlaceScale.unknown((1, 1))
    return nobody() | {key: value for name in places for key, value in unknown.to_arrays(name).items()}
