"""Invented lesions for training: the network sees them, but learns to fill in the healthy brain they were put into.

Lesions in high-frequency image and uncovered tissue are exactly what a detection meets and healthy volumes never show.
Only their coarse look matters. Lengths in mm, grey levels in medians of the brain.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

RADIUS_MM = (6.0, 34.0)
STRETCH = 0.35  # natural logarithm of the longest axis over the mean one
RAGGED, RAGGED_MM = 0.2, 12.0  # deviation of the border as a share of the radius, and how smooth it is
EDGE_MM, CORE_EDGE_MM = (3.0, 12.0), (2.0, 5.0)
DARK, BRIGHT = (0.6, 0.95), (1.08, 1.5)
BRIGHT_SHARE = 0.25
CORE_SHARE, CORE_RADIUS, CORE_LEVEL = 0.6, (0.3, 0.75), (0.3, 0.85)
OPACITY = (0.5, 1.0)
PUSH = 0.35  # how far the middle of a core displaces tissue, as a share of the distance
DEPTH_MM, MOSTLY = 14.0, 0.85  # the centre lies in a cube of this side with at least this share of brain


def planted(head: Tensor, brain: Tensor, voxel_mm: float, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """The head (i, j, k), grey levels from zero, with one lesion in the brain (bool); and where it is (bool)."""

    def between(limits: tuple[float, float]) -> Tensor:
        low, high = limits
        return low + (high - low) * torch.rand((), generator=random, device=random.device)

    def chance(share: float) -> bool:
        return float(torch.rand((), generator=random, device=random.device)) < share

    centre = _somewhere_deep(brain, voxel_mm, random)
    if centre is None:
        return head, torch.zeros_like(brain)
    axes = [torch.arange(n, device=head.device) - at for n, at in zip(head.shape, centre, strict=True)]
    offset = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).float()  # (i, j, k, 3), in voxels
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=random, device=random.device))
    stretch = torch.exp(STRETCH * (2 * torch.rand(3, generator=random, device=random.device) - 1))
    away = voxel_mm * ((offset @ turn) / stretch).square().sum(-1).sqrt()
    median = head[brain].median()
    radius = between(RADIUS_MM)
    uneven = smooth_noise(head.shape, RAGGED_MM / voxel_mm, random)
    region = _soft(radius * (1 + RAGGED * uneven) - away, between(EDGE_MM))
    core_radius = radius * between(CORE_RADIUS)
    changed = head
    if chance(CORE_SHARE):
        core = _soft(core_radius * (1 + RAGGED * uneven) - away, between(CORE_EDGE_MM))
        changed = _pushed(changed, offset, PUSH * between((0, 1)) * torch.exp(-(away / (1.6 * core_radius)).square()))
    else:
        core = torch.zeros_like(region)
    texture = 1 + 0.05 * smooth_noise(head.shape, 6 / voxel_mm, random)
    is_bright = chance(BRIGHT_SHARE)
    level = median * between(BRIGHT if is_bright else DARK) * texture
    if chance(0.5):  # tissue that is darker (or brighter) already stays as it is
        level = torch.maximum(changed, level) if is_bright else torch.minimum(changed, level)
    changed = torch.lerp(changed, level, region * between(OPACITY))
    changed = torch.lerp(changed, median * between(CORE_LEVEL) * texture, core)
    # Beyond the brain nothing is pushed or painted: a lesion shows in the brain only.
    return torch.where(brain, changed, head), brain & ((region > 0.5) | (core > 0.5))


def smooth_noise(shape: torch.Size, voxels: float, random: torch.Generator) -> Tensor:
    """Noise of about unit deviation, smooth over so many voxels: (i, j, k)."""
    coarse = [max(2, math.ceil(n / voxels)) for n in shape]
    noise = torch.randn(1, 1, *coarse, generator=random, device=random.device)
    fine = functional.interpolate(noise, tuple(shape), mode="trilinear", align_corners=True)[0, 0]
    return fine / fine.std().clamp_min(1e-6)


def _somewhere_deep(brain: Tensor, voxel_mm: float, random: torch.Generator) -> Tensor | None:
    """A random voxel (3) in a cube of DEPTH_MM that is brain, mostly; None where there is no such cube."""
    side = max(1, round(DEPTH_MM / voxel_mm))
    cubes = (functional.avg_pool3d(brain[None, None].float(), side)[0, 0] > MOSTLY).nonzero()
    if not len(cubes):
        return None
    chosen = cubes[int(torch.randint(len(cubes), (), generator=random, device=random.device))]
    return side * chosen + torch.randint(side, (3,), generator=random, device=random.device)


def _soft(depth: Tensor, width: Tensor) -> Tensor:
    """0 outside to 1 inside over `width`."""
    return (depth / width + 0.5).clamp(0, 1)


def _pushed(head: Tensor, offset: Tensor, push: Tensor) -> Tensor:
    """Tissue moved outwards: each voxel shows what lay nearer to the centre by a share `push` (i, j, k) of `offset`.

    offset: (i, j, k, 3), in voxels.
    """
    axes = [torch.arange(n, device=head.device) for n in head.shape]
    source = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1) - offset * push[..., None]
    sides = torch.tensor(head.shape, device=head.device)
    # grid_sample counts each axis from -1 to 1, the last axis first.
    grid = (2 * (source + 0.5) / sides - 1).flip(-1)
    return functional.grid_sample(head[None, None], grid[None], "bilinear", "border", align_corners=False)[0, 0]
