"""The conditional normalising flow: features + position -> a standard normal vector and the log-determinant."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

CLAMP = 1.9  # bound of the log-scale, alpha tanh(s), as in FrEIA 0.2
SUBNET_SCALE = 0.1
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class CouplingBlock(nn.Module):
    """Affine coupling on half of the features, a global scale and offset, and a fixed rotation.

    turn: (C, C) orthonormal, stored with the model, never trained.
    """

    turn: Tensor

    def __init__(self, features: int, condition: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.kept = features - features // 2
        self.moved = features // 2
        wide = self.kept + condition
        self.subnet = nn.Sequential(nn.Linear(wide, wide), nn.ReLU(inplace=True), nn.Linear(wide, 2 * self.moved))
        self.scale = nn.Parameter(torch.full((1, features), 2 * math.log(math.exp(5) - 1)))  # q = 1
        self.offset = nn.Parameter(torch.zeros(1, features))
        self.register_buffer("turn", rotation(features, generator))

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """x: (n, C), condition: (n, P) -> (n, C) and the log-determinant (n,)."""
        kept, moved = x.split([self.kept, self.moved], 1)
        s, t = (SUBNET_SCALE * self.subnet(torch.cat([kept, condition], 1))).split([self.moved, self.moved], 1)
        log_gain = CLAMP * torch.tanh(s)
        u = torch.cat([kept, moved * log_gain.exp() + t], 1)
        q = 0.1 * functional.softplus(self.scale, beta=0.5)
        return (q * u + self.offset) @ self.turn.T, log_gain.sum(1) + q.log().sum()


class ConditionalFlow(nn.Module):
    """Blocks in a row; `log_likelihood` is what everything else uses.

    mean, deviation: (C,), of the healthy features; zeros and ones leave the features as they are.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int, condition: int, blocks: int, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.blocks = nn.ModuleList(CouplingBlock(features, condition, generator) for _ in range(blocks))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))

    def forward(self, features: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """(n, C), (n, P) -> z (n, C) and the log-determinant (n,) of the blocks."""
        z = (features - self.mean) / self.deviation
        total = z.new_zeros(len(z))
        for block in self.blocks:
            z, logdet = block(z, condition)
            total = total + logdet
        return z, total

    def log_likelihood(self, features: Tensor, condition: Tensor) -> Tensor:
        """(log density of the standardised features) / C: (n,) float32; a perfect fit lies near -1.42.

        bfloat16 may run the linear layers; sums over hundreds of squares are taken in float32.
        """
        z, logdet = self(features, condition)
        if z.dtype in (torch.bfloat16, torch.float16):
            z, logdet = z.float(), logdet.float()
        likely: Tensor = (logdet - 0.5 * z.square().sum(1)) / z.shape[1] - HALF_LOG_2PI
        return likely


def rotation(size: int, generator: torch.Generator | None = None) -> Tensor:
    """A random rotation (size, size) of the special orthogonal group, from a QR decomposition."""
    q, r = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    q = q * torch.sign(torch.diagonal(r))  # uniform over all orthonormal matrices
    if torch.linalg.det(q) < 0:
        q[:, 0] = -q[:, 0]
    turn: Tensor = q.float()
    return turn
