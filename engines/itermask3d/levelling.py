"""Another scanner's shading taken off a scan, measured against what the network would have put in its place.

Coils make the rim of a brain brighter than its middle, each scanner in its own way, and a network that knows one
scanner calls that an anomaly. A quadratic over the whole brain cannot follow a lesion, and voxels far from it (Tukey's
biweight) have no say.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from engines.itermask3d.preparation import LIMIT

DEGREE = 2
EVERY = 5  # voxels: a smooth field needs no more
ROUNDS = 8  # of reweighting
TUNING = 4.5  # robust deviations beyond which a voxel has no say (Mosteller & Tukey, "Data Analysis and Regression")


def levelled(volume: Tensor, brain: Tensor, filled: Callable[[Tensor], Tensor], passes: int) -> tuple[Tensor, Tensor]:
    """The volume (i, j, k) without its field, and the field: in standard deviations of the brain, 0 outside.

    filled: what the network makes of a volume that shows it everything. passes: how often field and filling are
    measured in turn; with 0 the volume is returned as it is.
    """
    field = torch.zeros_like(volume)
    for _ in range(passes):
        part = smooth_field(volume - filled(volume), brain)
        field = field + part
        volume = torch.where(brain, (volume - part).clamp(-LIMIT, LIMIT), volume)
    return volume, field


def smooth_field(difference: Tensor, brain: Tensor) -> Tensor:
    """The quadratic in the place that most voxels of the brain (bool) agree on: (i, j, k), 0 outside."""
    powers = _powers(brain)
    places, values = powers[::EVERY], difference[brain][::EVERY].double()
    weight = torch.ones_like(values)
    coefficients = torch.zeros(powers.shape[1], dtype=values.dtype, device=values.device)
    # Normal equations of ten orthogonal-enough columns, lightly ridged: a brain of few voxels must not blow up.
    ridge = 1e-6 * len(values) * torch.eye(powers.shape[1], dtype=values.dtype, device=values.device)
    for _ in range(ROUNDS):
        weighed = places * weight[:, None]
        coefficients = torch.linalg.solve(weighed.T @ places + ridge, weighed.T @ values)
        away = values - places @ coefficients
        spread = 1.4826 * away.abs().median()
        weight = (1 - (away / (TUNING * spread).clamp_min(1e-9)).clamp(-1, 1).square()).square()
    field = torch.zeros_like(difference)
    field[brain] = (powers @ coefficients).to(field.dtype)
    return field


def _powers(brain: Tensor) -> Tensor:
    """x^a y^b z^c up to DEGREE at each voxel of the brain, axes from -1 to 1: float64 (voxels, 10)."""
    half = [(n - 1) / 2 for n in brain.shape]
    place = torch.stack([part.double() / size - 1 for part, size in zip(brain.nonzero().T, half, strict=True)], 1)
    x, y, z = place.T
    steps = range(DEGREE + 1)
    chosen = [(a, b, c) for a in steps for b in steps for c in steps if a + b + c <= DEGREE]
    return torch.stack([x**a * y**b * z**c for a, b, c in chosen], 1)
