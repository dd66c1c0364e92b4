"""What the network is shown: the high-frequency image of a volume, and masks that hide part of the brain."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

# A published mask is where 100,000 normally distributed points fall; blocks of s mm, 4 drawn twice as often.
POINTS = 100_000
BLOCKS_MM = (4, 4, 2, 8)
VARIANCES = (0.3, 10.0)  # along the three axes, in squared blocks


@lru_cache(maxsize=4)
def _is_low(shape: tuple[int, int, int], radius: int, device: torch.device) -> Tensor:
    """Bins of a real FFT nearer than `radius` to zero frequency, counted along the longest side: (i, j, k/2 + 1).

    Whole bin numbers: frequencies times size would round, and bins exactly on the sphere belong outside.
    """
    longest = max(shape)
    squares = []
    for axis, n in enumerate(shape):
        index = torch.arange(n // 2 + 1 if axis == 2 else n)
        bins = torch.minimum(index, n - index).double() * (longest / n)  # the factor is 1 exactly in a cube
        squares.append(bins.square())
    distance = squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :]
    return (distance < radius**2).to(device)


def high_frequency_image(volumes: Tensor, radius: int) -> Tensor:
    """The volume with every low frequency's amplitude set to one, its phase kept: (n, 1, i, j, k) in and out."""
    i, j, k = volumes.shape[-3:]
    spectrum = torch.fft.rfftn(volumes, dim=(-3, -2, -1))
    size = spectrum.abs()
    unit = torch.where(size > 0, spectrum / size.clamp_min(torch.finfo(size.dtype).tiny), 1.0)
    kept = torch.where(_is_low((i, j, k), radius, volumes.device), unit, spectrum)
    image: Tensor = torch.fft.irfftn(kept, s=(i, j, k), dim=(-3, -2, -1))
    return image


def blob(brain: Tensor, voxel_mm: float, random: torch.Generator) -> Tensor:
    """A random ragged ellipsoid inside the brain: bool (i, j, k) in and out.

    Published: mask every block that one of POINTS points N(centre, S) falls into. A block's count is Poisson
    distributed, so it is drawn here with probability 1 - exp(-POINTS N(block; centre, S)), in one step.
    """
    block_mm = BLOCKS_MM[int(torch.randint(len(BLOCKS_MM), (), generator=random, device=random.device))]
    step = max(1, round(block_mm / voxel_mm))
    coarse = brain[step // 2 :: step, step // 2 :: step, step // 2 :: step]
    inside = coarse.nonzero()
    if not len(inside):
        return brain
    centre = inside[int(torch.randint(len(inside), (), generator=random, device=random.device))].float()
    low, high = VARIANCES
    variances = low + (high - low) * torch.rand(3, generator=random, device=random.device)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=random, device=random.device))
    axes = [torch.arange(n, device=brain.device) + 0.5 for n in coarse.shape]
    away = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1) - centre  # (a, b, c, 3)
    exponent = ((away @ turn).square() / variances).sum(-1)
    density = torch.exp(-0.5 * exponent) / math.sqrt((2 * math.pi) ** 3 * float(variances.prod()))
    hit = torch.rand(density.shape, generator=random, device=random.device) < -torch.expm1(-POINTS * density)
    for axis in range(3):
        hit = hit.repeat_interleave(step, axis)
    i, j, k = brain.shape
    return hit[:i, :j, :k] & brain


def training_mask(brain: Tensor, voxel_mm: float, whole_brain: float, random: torch.Generator) -> Tensor:
    """A blob, or now and then the whole brain: bool (i, j, k)."""
    if float(torch.rand((), generator=random, device=random.device)) < whole_brain:
        return brain
    return blob(brain, voxel_mm, random)


def masked_input(volumes: Tensor, edges: Tensor, masks: Tensor, noise: Tensor) -> Tensor:
    """Network input (n, 2, i, j, k): the volume with noise under the mask, and its high-frequency image."""
    return torch.cat([torch.where(masks, noise, volumes), edges], 1)
