"""Training volumes that differ a little each time: mirrored, turned, scaled, re-shaded, trimmed another way."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from engines.itermask3d.lesions import smooth_noise

DEGREES, SCALE, SHIFT = 8.0, 0.08, 0.04  # at most; the shift as a share of half the grid
GAMMA = 0.35  # contrast: exponents from exp(-GAMMA) to exp(GAMMA)
TRIM = (0.35, 0.7)  # threshold of the blurred brain mask: other tools cut closer or wider
SHADING, SHADING_VOXELS = 0.08, 30.0  # deviation of a smooth gain over the head, and how smooth
BLUR, NOISE = 0.7, 0.02  # at most: share of a blur over 3 voxels; deviation of noise, of the largest grey level
QUARTER_TURNS = 0.1


def varied(head: Tensor, brain: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Grey levels (i, j, k) from zero to one and the brain (bool), moved together, re-shaded and trimmed."""
    both = torch.stack([head, brain.to(head.dtype)])[None]
    grid = functional.affine_grid(_motion(head, random)[None], list(both.shape), align_corners=False)
    moved, inside = functional.grid_sample(both, grid, "bilinear", "zeros", align_corners=False)[0]
    exponent = torch.exp(GAMMA * (2 * _uniform(random) - 1))
    return _another_scanner(moved.clamp_min(0).pow(exponent), random), _trimmed(inside, random)


def _another_scanner(head: Tensor, random: torch.Generator) -> Tensor:
    """Smooth shading, and every second one a little blurred, every second one a little noisy."""
    head = head * torch.exp(SHADING * smooth_noise(head.shape, SHADING_VOXELS, random))
    if float(_uniform(random)) < 0.5:
        smooth = functional.avg_pool3d(functional.avg_pool3d(head[None, None], 2, 1), 2, 1, 1)[0, 0]
        head = torch.lerp(head, smooth, BLUR * _uniform(random))
    if float(_uniform(random)) < 0.5:
        noise = torch.randn(head.shape, generator=random, device=random.device)
        head = head + NOISE * _uniform(random) * noise
    return head.clamp_min(0)


def quarter_turned(head: Tensor, brain: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """One in ten volumes turned by one to three quarters in the plane of axes 0 and 2, as published (cubes only)."""
    if float(_uniform(random)) >= QUARTER_TURNS or head.shape[0] != head.shape[2]:
        return head, brain
    turns = int(torch.randint(1, 4, (), generator=random, device=random.device))
    return torch.rot90(head, turns, (0, 2)), torch.rot90(brain, turns, (0, 2))


def _uniform(random: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=random, device=random.device)


def _motion(head: Tensor, random: torch.Generator) -> Tensor:
    """3x4 matrix of affine_grid: turns about three axes, scales, shifts, every second one mirrored left for right."""
    angles = torch.deg2rad(DEGREES * (2 * _uniform(random, 3) - 1))
    matrix = torch.eye(3, device=random.device)
    for axis, angle in enumerate(angles):
        turn = torch.eye(3, device=random.device)
        a, b = [other for other in range(3) if other != axis]
        turn[a, a] = turn[b, b] = torch.cos(angle)
        turn[a, b], turn[b, a] = -torch.sin(angle), torch.sin(angle)
        matrix = matrix @ turn
    # affine_grid counts each axis from -1 to 1, so turns need the axes' true proportions, in its order k, j, i.
    half = torch.tensor(head.shape[::-1], device=random.device) / max(head.shape)
    matrix = matrix * half[None, :] / half[:, None]
    matrix = matrix * (1 + SCALE * (2 * _uniform(random, 3) - 1))
    if float(_uniform(random)) < 0.5:
        matrix = matrix @ torch.diag(torch.tensor([1.0, 1.0, -1.0], device=random.device))
    return torch.cat([matrix, SHIFT * (2 * _uniform(random, 3, 1) - 1)], 1)


def _trimmed(inside: Tensor, random: torch.Generator) -> Tensor:
    # At half the resolution: a trim is smooth, and this is a quarter of a training step otherwise.
    blurred = functional.avg_pool3d(functional.avg_pool3d(inside[None, None], 2), 3, 1, 1)
    coarse = _uniform(random, 1, 1, 6, 6, 6) - 0.5
    ragged = functional.interpolate(coarse, blurred.shape[2:], mode="trilinear", align_corners=True)
    likely = functional.interpolate(blurred + 0.3 * ragged, inside.shape, mode="trilinear")[0, 0]
    low, high = TRIM
    return likely > low + (high - low) * _uniform(random)
