"""Foreign-patch interpolation (FPI): blend a square of another normal picture in, for a whole batch on the device."""

from __future__ import annotations

import torch
from torch import Tensor

CORE = 0.6  # centres lie in this central share of the frame
WIDEST, NARROWEST = 0.2, 0.05  # half-width of the square as a share of the side


def foreign_patches(normal: Tensor, generator: torch.Generator, foreground: Tensor | None = None) -> Tensor:
    """Pseudo-anomalous copies: (1 - alpha) x + alpha y inside a random square, y another picture of the batch.

    normal: (n, 1, S, S), n >= 2. Centre uniform in the central 60 %, half-width in [0.05 S, 0.2 S) pixels, one for both
    axes, alpha uniform in 0..1. With `foreground` (n, 1, S, S, 0 or 1) centres are drawn among its pixels inside that
    core instead: a square in the black background teaches nothing (spec section 6.1, item 11).
    """
    n, _, size, _ = normal.shape
    device = normal.device

    def uniform(low: int, high: int) -> Tensor:
        return torch.randint(low, high, (n,), generator=generator, device=device)

    low, high = int(size * (1 - CORE) / 2), int(size * (1 + CORE) / 2)
    if foreground is None:
        row, col = uniform(low, high), uniform(low, high)
    else:
        row, col = _foreground_centres(foreground, low, high, generator)
    half = uniform(round(NARROWEST * size), round(WIDEST * size))
    alpha = torch.rand(n, generator=generator, device=device, dtype=normal.dtype)
    other = (torch.arange(n, device=device) + uniform(1, n)) % n
    grid = torch.arange(size, device=device)
    inside_row = (grid[None] - row[:, None] + 0.5).abs() < half[:, None]  # (n, S): rows [r - w, r + w)
    inside_col = (grid[None] - col[:, None] + 0.5).abs() < half[:, None]
    mask = (inside_row[:, :, None] & inside_col[:, None, :])[:, None].to(normal.dtype)
    return normal + alpha[:, None, None, None] * mask * (normal[other] - normal)


def _foreground_centres(foreground: Tensor, low: int, high: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One random foreground pixel inside the core for each picture; any core pixel where there is none."""
    core = foreground[:, 0, low:high, low:high].flatten(1).float() + 1e-6
    pick = torch.multinomial(core, 1, generator=generator)[:, 0]
    side = high - low
    return low + pick // side, low + pick % side
