"""Location-based random embedding: a fixed random code for each candidate point, which travels with the model."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SCALE = 128.0  # spread of the random frequencies


def location_embedding(grid: int, width: int, random: torch.Generator, *, legacy_floor: bool = False) -> Tensor:
    """E (grid * grid, width) float64: point (row i, column j) is row grid * i + j.

    legacy_floor: whole-numbered frequencies as in the published code, where points that lie 16 apart (of 32) get the
    same code: only a quarter of the rows differ. For checkpoints that were trained that way.
    """
    normal = torch.randn(2, width // 2, generator=random, dtype=torch.float64)
    constant = torch.randn(width, generator=random, dtype=torch.float64)
    return embedding_from(grid, normal, constant, legacy_floor=legacy_floor)


def embedding_from(grid: int, normal: Tensor, constant: Tensor, *, legacy_floor: bool = False) -> Tensor:
    """The same from given draws: normal (2, width / 2) and constant (width,), both float64.

    E = [sin, cos](2 pi (2 (i, j) / grid - 1) frequencies) + constant. Phases reach 1e3 rad, hence float64.
    """
    frequencies = SCALE * normal
    if legacy_floor:
        frequencies = frequencies.floor()
    steps = 2 * torch.arange(grid, dtype=torch.float64) / grid - 1
    rows, cols = torch.meshgrid(steps, steps, indexing="ij")
    places = torch.stack([rows.flatten(), cols.flatten()], 1)  # (points, 2)
    phase = 2 * math.pi * places @ frequencies  # (points, width / 2)
    return torch.cat([phase.sin(), phase.cos()], 1) + constant
