"""Cutting pictures into patches, telling each patch where it lies, and putting patches together again."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from engines.sagan.network import HEIGHT_FEATURES

Restore = Callable[[Tensor, Tensor], Tensor]
"""(patches (n, 1, h, w), code (n, code)) -> patches (n, channels, h, w)."""


def split(pictures: Tensor, n: int) -> Tensor:
    """(b, 1, S, S) -> (b n n, 1, S/n, S/n), picture by picture, row by row."""
    b, _, height, width = pictures.shape
    h, w = height // n, width // n
    return pictures.reshape(b, n, h, n, w).permute(0, 1, 3, 2, 4).reshape(b * n * n, 1, h, w)


def join(patches: Tensor, n: int) -> Tensor:
    """The inverse of split, for any number of channels: (b n n, c, h, w) -> (b, c, n h, n w)."""
    _, c, h, w = patches.shape
    b = patches.shape[0] // (n * n)
    return patches.reshape(b, n, n, c, h, w).permute(0, 3, 1, 4, 2, 5).reshape(b, c, n * h, n * w)


def position_code(rows: Tensor, cols: Tensor, heights: Tensor | None) -> Tensor:
    """Code of patches at the grid positions (rows, cols): the bits (0, row, col), as in SQUID and SAGAN.

    rows, cols: (p,) grid positions, 0 or 1 for quadrants; halves for the overlapping patches between them.
    heights: (b,) position of each slice in the brain, 0 bottom .. 1 top, or None.
    Returns (b p, 3 or 7); b = 1 without heights.
    """
    bits = torch.stack([torch.zeros_like(rows), rows, cols], 1)  # (p, 3)
    if heights is None:
        return bits
    angles = torch.pi * heights[:, None] * torch.tensor([1.0, 2.0], device=heights.device)  # (b, 2)
    waves = torch.cat([angles.sin(), angles.cos()], 1)  # (b, 4)
    b, p = waves.shape[0], bits.shape[0]
    return torch.cat([bits.repeat(b, 1), waves.repeat_interleave(p, 0)], 1).reshape(b * p, 3 + HEIGHT_FEATURES)


def restore_grid(restore: Restore, pictures: Tensor, n: int, heights: Tensor | None) -> Tensor:
    """Restore pictures patch by patch on the plain n x n grid (the published form; visible seams)."""
    b = pictures.shape[0]
    index = torch.arange(n * n, device=pictures.device)
    code = position_code((index // n).to(pictures.dtype), (index % n).to(pictures.dtype), heights)
    if heights is None:
        code = code.repeat(b, 1)
    return join(restore(split(pictures, n), code), n)


def restore_overlapping(restore: Restore, pictures: Tensor, heights: Tensor | None) -> Tensor:
    """Restore with the four quadrants and the five patches half-way between them, blended by cosine windows.

    Each patch's weight is zero on its inner borders, so no seam crosses the midline of the brain.
    """
    b, _, size, _ = pictures.shape
    half, quarter = size // 2, size // 4
    starts = [0, quarter, half]
    rows = torch.tensor([r / half for r in starts for _ in starts], device=pictures.device, dtype=pictures.dtype)
    cols = torch.tensor([c / half for _ in starts for c in starts], device=pictures.device, dtype=pictures.dtype)
    tiles = torch.stack([pictures[:, :, r : r + half, c : c + half] for r in starts for c in starts], 1)
    code = position_code(rows, cols, heights)
    if heights is None:
        code = code.repeat(b, 1)
    tiles = restore(tiles.reshape(b * 9, 1, half, half), code).reshape(b, 9, -1, half, half)
    windows = _windows(size, pictures)
    out = pictures.new_zeros(b, tiles.shape[2], size, size)
    for index, (i, j) in enumerate((i, j) for i in range(3) for j in range(3)):
        weight = windows[i][:, None] * windows[j][None, :]
        r, c = starts[i], starts[j]
        out[:, :, r : r + half, c : c + half] += weight * tiles[:, index]
    return out


def _windows(size: int, like: Tensor) -> list[Tensor]:
    """Three windows of length size/2 whose sum over the picture is one everywhere."""
    quarter = size // 4
    phase = (torch.arange(quarter, device=like.device, dtype=like.dtype) + 0.5) / quarter
    rise = torch.sin(0.5 * torch.pi * phase) ** 2
    fall, flat = rise.flip(0), torch.ones_like(rise)
    return [torch.cat([flat, fall]), torch.cat([rise, fall]), torch.cat([rise, flat])]
