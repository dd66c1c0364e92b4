"""The losses on log-likelihoods l (per dimension): semi-push-pull (arXiv version) and triplet (journal version)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

NORMALIZER = 10.0  # lambda = l / 10
FAR_NORMAL, FAR_SYNTHETIC = -0.2, -1.0  # where the focal weights begin
LEAST_LAMBDA, MOST_WEIGHT = 0.05, 20.0  # the weight of synthetics has a pole at 0


def focal_normal(likely: Tensor) -> Tensor:
    """w_n: 1 near the mode, 11.7 sqrt(1 - e^lambda) |lambda| for unlikely normals. No gradient."""
    far = (likely.detach() / NORMALIZER).clamp(max=FAR_NORMAL)
    weight = 11.7 * (1 - far.exp()).sqrt() * far.abs()
    return torch.where(likely.detach() / NORMALIZER > FAR_NORMAL, torch.ones_like(weight), weight)


def focal_synthetic(likely: Tensor, *, capped: bool = False) -> Tensor:
    """w_a: 1 for unlikely synthetics, 0.53 (1 + e^lambda)^2 / |lambda| for likely ones. No gradient.

    capped: |lambda| >= 0.05 and at most 20; the published weight diverges as lambda nears 0.
    """
    value = likely.detach() / NORMALIZER
    weight = 0.53 * (1 + value.exp()).square() / value.abs().clamp_min(LEAST_LAMBDA if capped else 0)
    if capped:
        weight = weight.clamp(max=MOST_WEIGHT)
    return torch.where(value <= FAR_SYNTHETIC, torch.ones_like(weight), weight)


def likelihood_loss(likely: Tensor, weight: Tensor | None = None) -> Tensor:
    """L_ml = mean of -w log sigmoid(l) over normals."""
    terms = -functional.logsigmoid(likely)
    return terms.mean() if weight is None else (weight * terms).mean()


def boundary(likely: Tensor, beta: float) -> Tensor:
    """b_n: the floor(beta n)-th smallest lambda of the normals, counted from 0. No gradient."""
    ordered = (likely.detach() / NORMALIZER).sort().values
    return ordered[int(beta * len(ordered))]


def semi_push_pull(
    likely: Tensor,
    synthetic: Tensor,
    *,
    beta: float = 0.05,
    tau: float = 0.1,
    focal: bool = False,
    capped: bool = False,
) -> tuple[Tensor, Tensor]:
    """L_n, L_a: pull the worst share beta of the normals up to b_n, push synthetics below b_n - tau.

    Nothing beyond the two lines gets a gradient; an empty side costs 0.
    """
    b_n = boundary(likely, beta)
    b_a = b_n - tau
    normal, abnormal = likely / NORMALIZER, synthetic / NORMALIZER
    low, high = normal <= b_n, abnormal >= b_a
    pull, push = (b_n - normal).clamp_min(0), (abnormal - b_a).clamp_min(0)
    if focal:
        pull, push = pull * focal_normal(likely), push * focal_synthetic(synthetic, capped=capped)
    return pull.sum() / low.sum().clamp_min(1), push.sum() / high.sum().clamp_min(1)


def triplet(likely: Tensor, positive: Tensor, synthetic: Tensor, margin: float = 1.0) -> Tensor:
    """max(0, |l - l'| - |l - l~| + margin), norms over the whole batch as published.

    So it is one number a batch, and blind to the sign: synthetics more likely than normals cost nothing.
    """
    near = torch.linalg.vector_norm(likely - positive + 1e-6)
    far = torch.linalg.vector_norm(likely - synthetic + 1e-6)
    cost: Tensor = (near - far + margin).clamp_min(0)
    return cost
