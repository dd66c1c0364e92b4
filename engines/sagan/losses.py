"""SAGAN's losses (spec names: A unlabeled, B known normal, P = pseudo-anomalous B; G generator, D critic)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _full(x: Tensor) -> Tensor:
    """Half precision to float32; float32 and float64 as they are."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def gradient_penalty(critic: nn.Module, normal: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
    """Mean (||grad D(x_h)|| - 1)^2 on x_h = epsilon B + (1 - epsilon) G(A) (WGAN-GP, Gulrajani et al. 2017).

    The gradient is that of the sum of D's map; float32 throughout, since a double backward in bfloat16 is noise.
    epsilon: (n, 1, 1, 1) in 0..1.
    """
    between = (epsilon * normal + (1 - epsilon) * _full(fake)).requires_grad_(True)
    with torch.autocast(between.device.type, enabled=False):
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    # 1e-12: the square root has no derivative at exactly zero.
    norms = (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()
    penalty: Tensor = (norms - 1).square().mean()
    return penalty


def critic_loss(critic: nn.Module, normal: Tensor, fake: Tensor, epsilon: Tensor, weight: float) -> Tensor:
    """L_D = E D(G(A)) - E D(B) + weight * gradient penalty; fake comes without a graph."""
    with torch.autocast(normal.device.type, enabled=False):
        scores = critic(torch.cat([normal, _full(fake)]))
    real, made = scores.chunk(2)
    loss: Tensor = made.mean() - real.mean() + weight * gradient_penalty(critic, normal, fake, epsilon)
    return loss


def generator_losses(
    critic: nn.Module, fake: Tensor, normal: Tensor, kept: Tensor, restored: Tensor, weight: Tensor | None = None
) -> dict[str, Tensor]:
    """The three terms of L_G before weighting.

    fake = G(A), kept = G(B), restored = G(P); weight: (n, 1, S, S), foreground of B (1 inside), or None.
    adversarial = -E D(G(A)); identity = mean |B - G(B)|; restoration = mean (B - G(P))^2.
    """
    if weight is None:
        weight = torch.ones_like(normal)
    total = weight.sum().clamp_min(1.0)
    with torch.autocast(normal.device.type, enabled=False):
        adversarial = -critic(_full(fake)).mean()
    return {
        "adversarial": adversarial,
        "identity": (weight * (normal - kept).abs()).sum() / total,
        "restoration": (weight * (normal - restored).square()).sum() / total,
    }


def keep_loss(pictures: Tensor, restored: Tensor, lesion: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean (1 - M) |A - G(A)|: outside a reader's corrected mask M nothing may change (our extension).

    All (n, 1, S, S). weight: what counts, such as the foreground times the trust in a mask; everything where None.
    """
    outside = (1 - lesion) if weight is None else (1 - lesion) * weight
    return (outside * (pictures - restored).abs()).sum() / outside.sum().clamp_min(1.0)


def change_loss(
    pictures: Tensor, restored: Tensor, lesion: Tensor, margin: float, weight: Tensor | None = None
) -> Tensor:
    """Mean M max(0, m - |A - G(A)|): inside the mask at least the margin m has to change (our extension)."""
    inside = lesion if weight is None else lesion * weight
    return (inside * (margin - (pictures - restored).abs()).clamp_min(0)).sum() / inside.sum().clamp_min(1.0)
