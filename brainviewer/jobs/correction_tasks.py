"""What the children do for corrections: beginning and loading them, larger steps, uncertainty, export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainviewer.storage import corrections
from brainviewer.storage.corrections import About, Loaded
from brainviewer.study import mask_operations
from brainviewer.study.uncertainty import case_uncertainty, slice_uncertainty
from engines import KnownError


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A new correction's automatic mask, and why it could not be written, if so."""

    automatic: NDArray[np.uint8]
    trouble: KnownError | None


def begin(
    about: About, percentiles: NDArray[np.float32], region: NDArray[np.bool_], pseudo_mask: NDArray[Any] | None = None
) -> Begun:
    """The mask of a run at a threshold (or its pseudo-mask where the engine made one), written to its folder."""
    if pseudo_mask is not None:
        automatic = (np.asarray(pseudo_mask) > 0).astype(np.uint8)
    else:
        automatic = ((percentiles > about.percentile) & region).astype(np.uint8)
    return Begun(automatic, _created(about, automatic))


def _created(about: About, automatic: NDArray[np.uint8]) -> KnownError | None:
    try:
        corrections.create(about, automatic)
    except KnownError as error:
        return error
    return None


def resume(series_uid: str, reader: str, shape: tuple[int, int, int]) -> Loaded | None:
    """The newest correction of a series by a reader, or None. Another reader's is never gone on with."""
    mine = (about for about in corrections.of_series(series_uid) if about.reader == reader and about.shape == shape)
    newest = next(mine, None)
    return corrections.load(corrections.folder(newest)) if newest is not None else None


def interrupted(reader: str) -> list[tuple[str, float]]:
    """Studies whose corrections by this reader a crash interrupted, with the time of the last step."""
    return [(about.study, at) for about, at in corrections.interrupted() if about.reader == reader]


def operate(name: str, mask: NDArray[np.uint8], options: Mapping[str, Any]) -> NDArray[np.uint8]:
    """A larger step on a part of the mask."""
    return mask_operations.run(name, mask, options)


def uncertainty(
    percentiles: Sequence[NDArray[np.float32]],
    regions: Sequence[NDArray[np.bool_]],
    slice_percentiles: Sequence[NDArray[np.float32]],
    axis: int,
    threshold: float,
) -> NDArray[np.float32]:
    """How uncertain each slice is."""
    return slice_uncertainty(percentiles, regions, slice_percentiles, axis, threshold)


def next_case(cases: Sequence[tuple[str, Path, Sequence[float]]], reader: str, threshold: float) -> Path | None:
    """Where the most uncertain study lies that the reader has not corrected yet.

    cases: uid, path and the runs' study percentiles of each study.
    """
    done = {about.study for about in corrections.everything() if about.reader == reader}
    left = [(case_uncertainty(scores, threshold), path) for uid, path, scores in cases if uid not in done]
    there = [(uncertainty, path) for uncertainty, path in left if path.exists()]
    return max(there, key=lambda case: case[0])[1] if there else None
