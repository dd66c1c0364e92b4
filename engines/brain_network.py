"""The small U-Net behind the brain mask: one axial slice in, the probability of brain out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE = 128  # pixels of the square input
PIXEL_MM = 2.0  # so that a whole head fits


class _Twice(nn.Sequential):
    """Two 3x3 convolutions with group norm and ReLU."""

    def __init__(self, cin: int, cout: int) -> None:
        layers: list[nn.Module] = []
        for channels in (cin, cout):
            layers += [
                nn.Conv2d(channels, cout, 3, padding=1, bias=False),
                nn.GroupNorm(4, cout),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class BrainNetwork(nn.Module):
    """U-Net (Ronneberger et al. 2015) with four levels of 8, 24, 48 and 64 channels."""

    def __init__(self, widths: tuple[int, ...] = (8, 24, 48, 64)) -> None:
        super().__init__()
        ins = (1, *widths[:-1])
        self.down = nn.ModuleList(_Twice(cin, cout) for cin, cout in zip(ins, widths, strict=True))
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        self.up = nn.ModuleList(_Twice(shallow + deep, shallow) for shallow, deep in reversed(pairs))
        self.out = nn.Conv2d(widths[0], 1, 1)

    def forward(self, slices: Tensor) -> Tensor:
        """(n, 1, SIDE, SIDE), brightness about 0..1 -> logits of the same shape."""
        skips = []
        h = slices
        for level, block in enumerate(self.down):
            h = block(h if level == 0 else functional.max_pool2d(h, 2))
            skips.append(h)
        for block, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            h = block(torch.cat([functional.interpolate(h, scale_factor=2.0, mode="nearest"), skip], 1))
        logits: Tensor = self.out(h)
        return logits


def normalised(slices: Tensor) -> Tensor:
    """Brightness such that the 99th percentile of each slice is one: (n, 1, SIDE, SIDE)."""
    top = torch.quantile(slices.flatten(1), 0.99, dim=1).clamp_min(1e-6)
    return (slices / top[:, None, None, None]).clamp(0, 1.5)
