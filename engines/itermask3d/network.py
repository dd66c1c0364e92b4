"""The 3D U-Net of IterMask3D: masked volume and its high-frequency image in, the whole volume out."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = 2  # masked volume, high-frequency image; the mask itself is no input
STRIDES = (2, 2, 2, 2, 1)


class ConvUnit(nn.Module):
    """Convolution 3x3x3, batch norm, dropout of single values, PReLU with one slope."""

    def __init__(self, cin: int, cout: int, dropout: float, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(cin, cout, 3, stride, 1)
        self.norm = nn.BatchNorm3d(cout)
        self.dropout = nn.Dropout(dropout)
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(n, cin, i, j, k) -> (n, cout, i, j, k), half the size with stride 2."""
        out: Tensor = self.act(self.dropout(self.norm(self.conv(x))))
        return out


class ResidualUnit(nn.Module):
    """Two convolution units; the (averaged) input is added to as many channels as it has, without a projection."""

    def __init__(self, cin: int, cout: int, dropout: float, stride: int) -> None:
        super().__init__()
        self.first = ConvUnit(cin, cout, dropout, stride)
        self.second = ConvUnit(cout, cout, dropout)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(n, cin, i, j, k) -> (n, cout, i / stride, ...); cin <= cout."""
        kept = functional.avg_pool3d(x, 3, 2, 1) if self.stride == 2 else x
        h: Tensor = self.second(self.first(x))
        # Padding with zero channels is the same as adding to the first ones, and in one operation.
        return h + functional.pad(kept, (0, 0, 0, 0, 0, 0, 0, h.shape[1] - kept.shape[1]))


# Nearest doubling followed by three taps reads each coarse voxel twice. For each place in a kernel of four, stride 2:
# the taps that meet the same coarse voxel. Fine voxel 2i takes places 3 (coarse i - 1) and 1 (i), 2i + 1 takes 2 and 0.
_TAPS = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])


def transposed_weight(weight: Tensor) -> Tensor:
    """(out, in, 3, 3, 3) after nearest doubling -> (in, out, 4, 4, 4) of a transposed convolution, stride 2, pad 1."""
    taps = _TAPS.to(weight)
    return torch.einsum("oiabc,xa,yb,zc->ioxyz", weight, taps, taps, taps).contiguous()


class UpUnit(nn.Module):
    """Nearest doubling and two convolutions; the last one of the network is plain (no norm, no activation).

    Doubling and first convolution are one transposed convolution: 8 taps a voxel instead of 27, the same numbers.
    """

    def __init__(self, cin: int, cout: int, dropout: float, *, last: bool = False) -> None:
        super().__init__()
        self.first = ConvUnit(cin, cin, dropout)
        self.second = nn.Conv3d(cin, cout, 3, 1, 1) if last else ConvUnit(cin, cout, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(n, cin, i, j, k) -> (n, cout, 2i, 2j, 2k)."""
        unit = self.first
        h = functional.conv_transpose3d(x, transposed_weight(unit.conv.weight), unit.conv.bias, 2, 1)
        out: Tensor = self.second(unit.act(unit.dropout(unit.norm(h))))
        return out


class UNet3d(nn.Module):
    """8,902,626 parameters at the published width 16. Every side must be divisible by 16 and at least 32."""

    def __init__(self, width: int = 16, dropout: float = 0.2) -> None:
        super().__init__()
        w = width
        widths = (CHANNELS, w, 2 * w, 4 * w, 8 * w, 16 * w)
        self.down = nn.ModuleList(
            ResidualUnit(cin, cout, dropout, stride)
            for cin, cout, stride in zip(widths[:-1], widths[1:], STRIDES, strict=True)
        )
        self.up = nn.ModuleList(
            [
                UpUnit(24 * w, 4 * w, dropout),
                UpUnit(8 * w, 2 * w, dropout),
                UpUnit(4 * w, w, dropout),
                UpUnit(2 * w, 1, dropout, last=True),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, 2, i, j, k) -> (n, 1, i, j, k)."""
        skips = []
        h = x
        for unit in self.down:
            h = unit(h)
            skips.append(h)
        for unit, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            h = unit(torch.cat([h, skip], 1))
        return h


Network = TypeVar("Network", bound=nn.Module)


def channels_last(network: Network) -> Network:
    """The network in the layout that 3D convolutions are quickest in, on CPU and GPU."""
    changed: Network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return changed
