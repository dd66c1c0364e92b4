"""What tells a corrupted scan from a clean one: how well it can be filled in, and what it looks like before that.

The network fills a blurred or shaken head as well as a sharp one, so its errors alone miss those. Grey levels,
sharpness and the air around the head are what quality control of MR looks at (air: Mortamet et al., "Automatic quality
assessment in structural brain MRI", Magn Reson Med 62:365, 2009).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engines.itermask3d.found import Found
from engines.itermask3d.preparation import LIMIT, normalised, percentiles
from engines.itermask3d.threshold import STEPS, Floats

LAGS = (1, 2, 3)  # voxels
AIR_PERCENTILES = (25, 50, 75)  # of what lies around the brain; the brain's mean grey level is 1
FAINTEST_AIR = 0.02
LEAST_AIR = 0.2  # share of voxels around the brain that are not empty; fewer = somebody has cut the brain out
LEAST = 1e-8

# How many values each group has, and by how much even the most similar scans differ in them: a dozen healthy subjects
# cannot prove that they differ by less.
GROUPS: Mapping[str, tuple[int, float]] = {
    "curve": (STEPS, 0.03),
    "error": (1, 0.03),
    "grey": (13, 0.05),
    "sharpness": (3 * len(LAGS), 0.03),
    "air": (len(AIR_PERCENTILES), 0.15),
    "shading": (1, 0.1),
}


@dataclass(frozen=True, slots=True, eq=False)
class Signs:
    """Of one scan, each float64.

    curve: log of the error's percentiles under the shrinking mask (100,), NaN where phase A ended early. error: log of
    the mean error phase B ends with (1,). grey: percentiles of the brain's grey levels in its standard deviations
    (13,). sharpness: log mean squared difference of voxels 1, 2 and 3 apart along each axis (9,). air: log percentiles
    of the grey levels around the brain (3,), NaN where there are none. shading: log deviation of the field that was
    taken off (1,), NaN where none was.
    """

    curve: Floats
    error: Floats
    grey: Floats
    sharpness: Floats
    air: Floats
    shading: Floats


def signs(found: Found) -> Signs:
    """The signs of a scan."""
    head, brain = torch.from_numpy(found.grid.head), torch.from_numpy(found.grid.brain)
    error = float(found.shrunk.error.sum()) / float(brain.sum())
    grey = normalised(head, brain)
    shading = found.field[found.grid.brain].std() if found.settings.levelled else np.nan
    return Signs(
        np.log(np.maximum(found.curve, LEAST)),
        np.log(np.maximum([error], LEAST)),
        percentiles(grey[brain]).numpy(),
        sharpness(grey, brain),
        air(head, brain),
        np.log(np.maximum([shading], LEAST)),
    )


def sharpness(grey: Tensor, brain: Tensor) -> Floats:
    """Signs.sharpness of grey levels (i, j, k) inside the brain (bool)."""
    found = []
    for axis in range(3):
        for lag in LAGS:
            near, far = (slice(None, -lag), slice(lag, None))
            first, second = ((slice(None),) * axis + (part,) for part in (near, far))
            both = brain[first] & brain[second]
            difference = (grey[first] - grey[second])[both].clamp(-LIMIT, LIMIT).double()
            found.append(difference.square().mean() if len(difference) else torch.tensor(1.0))
    return np.asarray(np.log(np.maximum(torch.stack([value.double() for value in found]).numpy(), LEAST)))


def air(head: Tensor, brain: Tensor) -> Floats:
    """Signs.air of grey levels (i, j, k), skull and all."""
    around = head[~brain].clamp_min(0)
    if not len(around) or float((around > 0).double().mean()) < LEAST_AIR:
        return np.full(len(AIR_PERCENTILES), np.nan)
    unit = float(head[brain].mean()) or 1.0
    return np.asarray(np.log(np.percentile(around.numpy() / unit, AIR_PERCENTILES) + FAINTEST_AIR))
