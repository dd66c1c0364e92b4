"""Invented lesions for pretraining: bright (seldom dark) patches of irregular outline in healthy slices.

They teach the compact backbone where a lesion is, which slice labels alone do not tell; no patient's outline is used.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from engines.ddpt.slices import framed
from engines.preparation import TISSUE_LEVEL

SIDE = 256.0  # lengths below are in pixels of a picture of this side
RADIUS = (9.0, 48.0)
DEPTH = 6.0  # of the middle, under the brain's surface
STRETCH = (0.65, 1.5)
SOFT = (2.0, 8.0)  # width of the edge
DARK = 0.12  # share of lesions that are darker than tissue
BRIGHT_LEVELS, DARK_LEVELS = (1.2, 2.3), (0.4, 0.8)  # of the median tissue
KEPT = (0.0, 0.5)  # how much of the tissue's texture shines through
CORE = 0.3  # share of lesions with a dark core
CORE_RADIUS, CORE_LEVELS = (0.2, 0.5), (0.3, 0.9)


def planted(pictures: Tensor, inside: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Slices (n, S, S) with a lesion each, and where it is: bool (n, S, S), empty where there was no room."""
    grey, lesions = ((pictures + 1) / 2).clone(), torch.zeros_like(inside, dtype=torch.bool)
    for number, brain in enumerate(inside):
        depth = ndimage.distance_transform_edt(brain.numpy())
        room = np.argwhere(depth > DEPTH * len(brain) / SIDE)
        if len(room):
            row, col = room[rng.integers(len(room))]
            grey[number], lesions[number] = _one(grey[number], brain, float(row), float(col), rng)
    return framed(grey, inside), lesions


def _one(grey: Tensor, brain: Tensor, row: float, col: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    scale = len(grey) / SIDE
    radius = scale * float(np.exp(rng.uniform(*np.log(RADIUS))))
    apart = _distance(grey.shape, row, col, rng)
    ragged = 0.3 * _noise(grey.shape, int(rng.integers(6, 16)), rng)
    region = ((radius * (1 + ragged) - apart) / (scale * rng.uniform(*SOFT)) + 0.5).clamp(0, 1) * brain
    dark = rng.random() < DARK
    level = TISSUE_LEVEL * rng.uniform(*(DARK_LEVELS if dark else BRIGHT_LEVELS))
    texture = 0.08 * rng.uniform(0.3, 1.5) * _noise(grey.shape, 24, rng) + 0.03 * _noise(grey.shape, 64, rng)
    looks = level * (1 + texture) + rng.uniform(*KEPT) * (grey - TISSUE_LEVEL)
    share = region * rng.uniform(0.75, 1.0)
    out = grey * (1 - share) + share * looks
    if rng.random() < CORE:
        core_radius = radius * rng.uniform(*CORE_RADIUS)
        core = ((core_radius * (1 + ragged) - apart) / (3 * scale) + 0.5).clamp(0, 1) * brain
        out = out * (1 - core) + core * TISSUE_LEVEL * rng.uniform(*CORE_LEVELS)
    return out, region > 0.5


def _distance(shape: torch.Size, row: float, col: float, rng: np.random.Generator) -> Tensor:
    """Distance from the middle in a stretched and turned metric: (S, S)."""
    rows, cols = torch.meshgrid(torch.arange(float(shape[0])), torch.arange(float(shape[1])), indexing="ij")
    stretch, turn = rng.uniform(*STRETCH), rng.uniform(0, np.pi)
    along = (rows - row) * np.cos(turn) + (cols - col) * np.sin(turn)
    across = (cols - col) * np.cos(turn) - (rows - row) * np.sin(turn)
    apart: Tensor = ((along * stretch) ** 2 + (across / stretch) ** 2).sqrt()
    return apart


def _noise(shape: torch.Size, knots: int, rng: np.random.Generator) -> Tensor:
    """Smooth noise of about unit deviation with so many knots along a side: (S, S)."""
    coarse = torch.from_numpy(rng.normal(size=(1, 1, knots, knots))).float()
    return functional.interpolate(coarse, tuple(shape), mode="bicubic")[0, 0]
