"""Losses of stage 2: mask decoder, point activations, point codes; batched, finite everywhere, on the device.

Spec sections (c) and (g). p: mask probabilities (n, 1, h, w); every function returns one value a picture: (n,).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

SMOOTH = 1e-7
MISSED_WEIGHT = 0.3  # delta: what a missed pixel costs; a wrong one costs 1 - delta
BACKGROUND_WEIGHT = 0.6
CORE_SIGMA, BACKGROUND_SIGMA = 10.0, 15.0  # pixels of the published 256 x 256 frame
PUBLISHED_SIDE = 256
DIMS = (1, 2, 3)


def exponential_log(x: Tensor) -> Tensor:
    """EL(x) = (-ln x)^0.3, at most 2. Clamped before the logarithm: its slope is infinite at 1, and NaN beyond."""
    return (-x.clamp(1e-6, 1 - 1e-4).log()).pow(0.3).clamp(max=2)


def dice(a: Tensor, b: Tensor, dims: tuple[int, ...] = DIMS) -> Tensor:
    """Soft Dice overlap, 1 where both are empty."""
    return (2 * (a * b).sum(dims) + SMOOTH) / (a.sum(dims) + b.sum(dims) + SMOOTH)


def tversky(p: Tensor, target: Tensor) -> Tensor:
    """T_delta of a soft target: overlap that forgives missed pixels more than wrong ones."""
    hit = (p * target).sum(DIMS)
    missed, wrong = ((1 - p) * target).sum(DIMS), (p * (1 - target)).sum(DIMS)
    return hit / (hit + MISSED_WEIGHT * missed + (1 - MISSED_WEIGHT) * wrong + 1e-6)


@lru_cache(maxsize=16)
def _blur_matrix(side: int, sigma: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    # A Gaussian along one axis is a matrix: scipy's own, applied to unit vectors.
    matrix = ndimage.gaussian_filter1d(np.eye(side), sigma, axis=0, mode="reflect", truncate=4.0)
    return torch.from_numpy(matrix).to(device, dtype)


def closeness(masks: Tensor, sigma: float) -> Tensor:
    """Blurred masks divided by each one's maximum; 0 where a mask is empty. sigma: at a side of 256 pixels."""
    rows, cols = masks.shape[2:]
    down, across = (
        _blur_matrix(side, sigma * side / PUBLISHED_SIDE, masks.device, masks.dtype) for side in (rows, cols)
    )
    blurred = down @ masks @ across.T
    return blurred / blurred.amax(DIMS, keepdim=True).clamp(min=1e-12)


def coarse_mask_loss(p: Tensor, core: Tensor, rim: Tensor) -> Tensor:
    """L_Dec: M_D (`core`) teaches the middle of the lesion, M_S (`rim`) its border, as far as the two agree.

    An empty M_S drops the rim term. Weight maps and agreement carry no gradient: masks are data.
    """
    outside = 1 - core
    near = core * closeness(core, CORE_SIGMA)
    far = outside * closeness(outside, BACKGROUND_SIGMA)
    border = rim * (1 - closeness(rim, CORE_SIGMA))
    agreement = dice(rim, core) * (rim.amax(DIMS) > 0)
    return (
        exponential_log(tversky(p, near))
        + BACKGROUND_WEIGHT * exponential_log(dice((1 - p) * outside, far))
        + BACKGROUND_WEIGHT * (p * outside).mean(DIMS)
        + agreement * exponential_log(tversky(p, border))
    )


def sharp_mask_loss(logits: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Soft Dice and cross-entropy for masks that are right pixel by pixel; weight (n, 1, h, w), 0 = nobody knows."""
    p = logits.sigmoid()
    known = weight > 0
    overlap = 1 - dice(p * known, mask * known)
    entropy = functional.binary_cross_entropy_with_logits(logits, mask, weight, reduction="none")
    return overlap + entropy.sum(DIMS) / weight.sum(DIMS).clamp(min=1)


def healthy_loss(logits: Tensor, weight: Tensor) -> Tensor:
    """Nothing is there: mean probability and cross-entropy against an empty mask."""
    total = weight.sum(DIMS).clamp(min=1)
    wrong = (logits.sigmoid() * weight).sum(DIMS) + (functional.softplus(logits) * weight).sum(DIMS)
    return wrong / total


def point_loss(activations: Tensor, points: Tensor) -> Tensor:
    """L_PA: Dice of the point activations (n, points) with the point mask; entropy where the mask is empty.

    Dice against an empty mask has no slope, so healthy slices would teach the points nothing.
    """
    overlap = exponential_log(dice(activations, points, (1,)))
    silence = -(1 - activations).clamp(min=1e-6).log().mean(1)
    return torch.where(points.amax(1) > 0, overlap, silence)


def structure_loss(codes: Tensor, points: Tensor) -> Tensor:
    """L_Struct: point codes (n, points, D) of the lesion go to +1, the others to -1; an absent class adds nothing."""
    return _pulled(codes, 1.0, points) + _pulled(codes, -1.0, 1 - points)


def _pulled(codes: Tensor, goal: float, members: Tensor) -> Tensor:
    apart = (codes - goal).square().mean(2)  # (n, points)
    return (apart * members).sum(1) / members.sum(1).clamp(min=1)
