"""SAGAN's generator and critic (paper Fig. 2), shapes for a 64x64 picture in 2x2 patches and width c.

The order in which layers are registered is the order of the published checkpoints and of the golden numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

HEIGHT_FEATURES = 4


class InstanceNorm(nn.Module):
    """Zero mean and unit variance per picture and channel, always from the instance itself, in float32.

    Written as a group normalisation with one channel a group: the same numbers, a faster kernel on the CPU; in
    float32 because the variance of a 4x4 map is fragile in bfloat16.
    """

    def __init__(self, channels: int, *, affine: bool = True) -> None:
        super().__init__()
        self.channels = channels
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """x: (n, channels, h, w) -> same shape and type."""
        kept = x if x.dtype == torch.float64 else x.float()
        with torch.autocast(x.device.type, enabled=False):
            return functional.group_norm(kept, self.channels, self.weight, self.bias, 1e-5).to(x.dtype)


def conv_norm_relu(cin: int, cout: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, instance norm, ReLU: halves the side when stride is 2 (kernel 4)."""
    padding = (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(cin, cout, kernel, stride, padding, bias=False), InstanceNorm(cout), nn.ReLU(inplace=True)
    )


def up_norm_relu(cin: int, cout: int) -> nn.Sequential:
    """Transposed 4x4 convolution that doubles the side, instance norm, ReLU."""
    return nn.Sequential(nn.ConvTranspose2d(cin, cout, 4, 2, 1, bias=False), InstanceNorm(cout), nn.ReLU(inplace=True))


class ResBlock(nn.Module):
    """x + [conv 3x3, norm, ReLU, conv 3x3, norm](x)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        conv, norm, _ = conv_norm_relu(channels, channels, 3)
        self.main = nn.Sequential(*conv_norm_relu(channels, channels, 3), conv, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape in and out."""
        out: Tensor = x + self.main(x)
        return out


class HalfResBlock(nn.Module):
    """h = conv-norm-ReLU(x); h + norm(conv(h)): the skip spans the second half only, as in the reference."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.first = conv_norm_relu(cin, cout, 3)
        self.second = nn.Sequential(nn.Conv2d(cout, cout, 3, 1, 1, bias=False), InstanceNorm(cout))

    def forward(self, x: Tensor) -> Tensor:
        """(n, cin, h, w) -> (n, cout, h, w)."""
        h = self.first(x)
        out: Tensor = h + self.second(h)
        return out


class AttentionGate(nn.Module):
    """Additive attention gate of the Attention U-Net, with instance norm: re-weights the skip's pixels."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(channels, inner, 1)
        self.skip = nn.Conv2d(channels, inner, 1)
        self.psi = nn.Conv2d(inner, 1, 1)
        self.inner_norm = InstanceNorm(inner, affine=False)
        self.psi_norm = InstanceNorm(1, affine=False)

    def forward(self, gate: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        """Gated skip (n, channels, h, w) and the attention psi (n, 1, h, w) in 0..1."""
        mixed = functional.relu(self.inner_norm(self.gate(gate)) + self.inner_norm(self.skip(skip)))
        psi = torch.sigmoid(self.psi_norm(self.psi(mixed)))
        return skip * psi, psi


class PositionBlock(nn.Module):
    """1x1 convolution, norm without affine, position code, ReLU.

    "reference" concatenates the code as constant channels before the convolution; the norm subtracts exactly such
    constants, so it is inert. "film" scales and shifts after the norm, (1 + gamma) h + beta, zero at the start.
    """

    def __init__(self, channels: int, code: int, *, film: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels if film else channels + code, channels, 1)
        self.norm = InstanceNorm(channels, affine=False)
        self.film = nn.Linear(code, 2 * channels) if film else None
        if self.film is not None:
            nn.init.zeros_(self.film.weight)
            nn.init.zeros_(self.film.bias)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """x: (n, channels, h, w); code: (n, code) -> (n, channels, h, w)."""
        if self.film is None:
            planes = code.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
            return functional.relu(self.norm(self.conv(torch.cat([x, planes], 1))))
        gamma, beta = self.film(code.to(self.film.weight.dtype))[:, :, None, None].chunk(2, 1)
        return functional.relu((1 + gamma) * self.norm(self.conv(x)) + beta)


class Generator(nn.Module):
    """Predicts an additive map that turns a patch into its normal look: restored = tanh(map + patch)."""

    def __init__(self, width: int = 64, n_res: int = 6, *, position: str = "film", slice_height: bool = False) -> None:
        super().__init__()
        c, film = width, position == "film"
        code = 3 + (HEIGHT_FEATURES if slice_height else 0)
        self.stem = conv_norm_relu(1, c, 7)
        self.enc1 = conv_norm_relu(c, 2 * c, 4, 2)
        self.pos1 = PositionBlock(2 * c, code, film=film)
        self.enc2 = conv_norm_relu(2 * c, 4 * c, 4, 2)
        self.pos2 = PositionBlock(4 * c, code, film=film)
        self.enc3 = conv_norm_relu(4 * c, 8 * c, 4, 2)
        self.pos3 = PositionBlock(8 * c, code, film=film)
        self.bottleneck = nn.Sequential(*(ResBlock(8 * c) for _ in range(n_res)))
        self.gate1 = AttentionGate(8 * c, 4 * c)
        self.dec_res1 = HalfResBlock(16 * c, 8 * c)
        self.dec1 = up_norm_relu(8 * c, 4 * c)
        self.up1 = nn.Sequential(*up_norm_relu(4 * c, 2 * c), *up_norm_relu(2 * c, c))
        self.gate2 = AttentionGate(4 * c, 2 * c)
        self.dec_res2 = HalfResBlock(8 * c, 4 * c)
        self.dec2 = up_norm_relu(4 * c, 2 * c)
        self.up2 = up_norm_relu(2 * c, c)
        self.gate3 = AttentionGate(2 * c, c)
        self.dec_res3 = HalfResBlock(4 * c, 2 * c)
        self.dec3 = up_norm_relu(2 * c, c)
        self.fuse = HalfResBlock(3 * c, c)
        self.out = nn.Conv2d(c, 1, 7, 1, 3, bias=False)

    def forward(self, patches: Tensor, code: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """patches: (n, 1, h, w) in -1..1, code: (n, 3 or 7) -> additive map (n, 1, h, w) and the three attentions."""
        s1 = self.pos1(self.enc1(self.stem(patches)), code)  # (n, 2c, h/2, w/2)
        s2 = self.pos2(self.enc2(s1), code)  # (n, 4c, h/4, w/4)
        e = self.bottleneck(self.pos3(self.enc3(s2), code))  # (n, 8c, h/8, w/8)
        gated, psi1 = self.gate1(e, e)
        o1 = self.dec1(self.dec_res1(torch.cat([e, gated], 1)))
        gated, psi2 = self.gate2(o1, s2)
        o2 = self.dec2(self.dec_res2(torch.cat([o1, gated], 1)))
        gated, psi3 = self.gate3(o2, s1)
        o3 = self.dec3(self.dec_res3(torch.cat([o2, gated], 1)))  # (n, c, h, w)
        return self.out(self.fuse(torch.cat([self.up1(o1), self.up2(o2), o3], 1))), (psi1, psi2, psi3)


class Critic(nn.Module):
    """Wasserstein critic of the whole picture: six halvings without norm, then a 3x3 to one map."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        widths = [1, *(width * 2**level for level in range(6))]
        layers = []
        for cin, cout in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Conv2d(cin, cout, 4, 2, 1), nn.LeakyReLU(0.01)]
        self.main = nn.Sequential(*layers)
        self.last = nn.Conv2d(widths[-1], 1, 3, 1, 1, bias=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, 1, S, S) -> (n, 1, S/64, S/64), higher = more like a normal picture."""
        h = self.main(pictures)
        if h.shape[2:] == (1, 1):  # the other eight taps of the 3x3 only ever see padding
            return functional.conv2d(h, self.last.weight[:, :, 1:2, 1:2])
        scores: Tensor = self.last(h)
        return scores
