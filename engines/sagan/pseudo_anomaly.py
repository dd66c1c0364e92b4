"""Pseudo-anomalies for a whole batch on the device: foreign patches (FPI), and blobs of another brightness."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from engines.sagan.settings import Settings

CORE = 0.6  # centres lie in this central share of the frame
BRIGHT_SHARE = 0.7
WIDEST, NARROWEST = 0.2, 0.05  # half-width of the square as a share of the side


def pseudo_anomalies(normal: Tensor, foreground: Tensor, generator: torch.Generator, settings: Settings) -> Tensor:
    """The kinds of pseudo-anomalies that these settings mix; normal, foreground: (n, 1, S, S), n >= 2."""
    pseudo = foreign_patches(normal, generator, foreground if settings.foreground else None)
    if settings.blobs > 0:
        blobs = shifted_blobs(normal, generator, foreground)
        chosen = torch.rand(len(normal), generator=generator, device=normal.device) < settings.blobs
        pseudo = torch.where(chosen[:, None, None, None], blobs, pseudo)
    return pseudo


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


def shifted_blobs(normal: Tensor, generator: torch.Generator, foreground: Tensor) -> Tensor:
    """Pseudo-anomalous copies with one ragged blob each that is brighter or, less often, darker than the tissue.

    Our extension: foreign tissue of the same contrast hardly teaches what a lesion that shines looks like. normal and
    foreground: (n, 1, S, S). Half-axes 3 % to 20 % of the side, shift of the grey level by 0.15 to 0.8.
    """
    n, _, size, _ = normal.shape

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=normal.device, dtype=normal.dtype)

    row, col = (at[:, None, None, None] for at in _foreground_centres(foreground, 0, size, generator))
    grid = torch.arange(size, device=normal.device, dtype=normal.dtype)
    half = size * (NARROWEST / 2 + WIDEST * rand(2, n, 1, 1, 1))
    away = ((grid[:, None] - row) / half[0]) ** 2 + ((grid[None, :] - col) / half[1]) ** 2
    ragged = functional.interpolate(rand(n, 1, 8, 8), (size, size), mode="bicubic", align_corners=True)
    weight = torch.sigmoid(8 * (0.5 + ragged - away)) * foreground
    sign = torch.where(rand(n, 1, 1, 1) < BRIGHT_SHARE, 1.0, -1.0)
    shift = sign * (0.15 + 0.65 * rand(n, 1, 1, 1)) * (0.7 + 0.6 * ragged)
    return (normal + weight * shift).clamp(float(normal.min()), float(normal.max()))


def _foreground_centres(foreground: Tensor, low: int, high: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One random foreground pixel inside the core for each picture; any core pixel where there is none."""
    core = foreground[:, 0, low:high, low:high].flatten(1).float() + 1e-6
    pick = torch.multinomial(core, 1, generator=generator)[:, 0]
    side = high - low
    return low + pick // side, low + pick % side
