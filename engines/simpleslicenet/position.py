"""Where in the brain a feature lies, told to the flow as sines and cosines (CFLOW's code, with a third axis)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

WIDTH = 64  # numbers an axis
HEIGHT_STEPS = 32.0  # the height 0..1 is counted in as many steps as the published grid has slabs


def axis_code(place: Tensor) -> Tensor:
    """place: (n,) -> (n, 64): sin and cos of place * 10000^(-2k/64), k = 0..31, alternating."""
    k = torch.arange(WIDTH // 2, dtype=place.dtype, device=place.device)
    angle = place[:, None] * torch.exp(-math.log(10_000.0) * 2 * k / WIDTH)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)


def position_code(rows: Tensor, cols: Tensor, heights: Tensor | None = None) -> Tensor:
    """rows, cols: grid places (n,), float; heights: (n,) in 0..1 or None -> (n, 128 or 192): column, row, height."""
    parts = [axis_code(cols), axis_code(rows)]
    if heights is not None:
        parts.append(axis_code(heights * HEIGHT_STEPS))
    return torch.cat(parts, 1)
