"""The same network with less work: exact rewrites of a trained UNet3d for detection.

- Batch norm is folded into the convolution before it, dropout is gone.
- "Double by nearest, then convolve 3x3x3" reads each coarse voxel several times. Summing the taps that meet the same
  voxel gives a transposed convolution with 8 taps a voxel instead of 27 ("transposed"), or eight small convolutions
  interleaved ("phase").
- The last two stages, 70 % of the work, are computed on the brain's box only, with a halo.
- In half precision the last convolution stays in float32: squared errors are compared with thresholds near 0.01.

Which form is quickest depends on the device: quickest() measures it.
"""

from __future__ import annotations

import copy
import time
from functools import lru_cache
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.itermask3d.network import ConvUnit, ResidualUnit, UNet3d, UpUnit, channels_last, transposed_weight

Form = Literal["plain", "transposed", "phase"]
FORMS: tuple[Form, ...] = ("plain", "transposed", "phase")
Box = tuple[slice, slice, slice]
HALO = 2  # coarse voxels of four: the two last stages smear a border over six fine voxels
TRIAL = (48, 48, 48)

# For each coarse offset -1, 0, +1 and each of the two fine voxels of a coarse one: the taps of the 3-tap kernel.
_EVEN = torch.tensor([[1.0, 0, 0], [0, 1, 1]])  # coarse voxel before, own one
_ODD = torch.tensor([[1.0, 1, 0], [0, 0, 1]])  # own one, the one after


def fold(unit: ConvUnit) -> nn.Conv3d:
    """Convolution and batch norm (with its running statistics) as one convolution."""
    conv, norm = unit.conv, unit.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert conv.bias is not None
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    folded = copy.deepcopy(conv)
    folded.weight.data = conv.weight.detach() * factor[:, None, None, None, None]
    folded.bias = nn.Parameter((conv.bias - norm.running_mean) * factor + norm.bias)
    return folded


def phase_weight(weight: Tensor) -> Tensor:
    """(out, in, 3, 3, 3) after nearest doubling -> (8 out, in, 2, 2, 2), one small kernel for each of 2x2x2 places."""
    taps = torch.stack([_EVEN, _ODD]).to(weight)  # (place, offset, tap)
    found = torch.einsum("oiabc,pxa,qyb,rzc->pqroixyz", weight, taps, taps, taps)
    return found.reshape(-1, weight.shape[1], 2, 2, 2).contiguous()


def _interleaved(coarse: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Phase form of the doubling convolution: (n, cin, i, j, k) -> (n, cout, 2i, 2j, 2k)."""
    n, _, i, j, k = coarse.shape
    places = functional.conv3d(functional.pad(coarse, (1,) * 6), weight)  # (n, 8 cout, i + 1, j + 1, k + 1)
    places = places.view(n, 2, 2, 2, -1, i + 1, j + 1, k + 1)
    out = coarse.new_empty(n, places.shape[4], 2 * i, 2 * j, 2 * k)
    for a in range(2):
        for b in range(2):
            for c in range(2):
                # Even places start with the coarse voxel before, odd ones with their own.
                out[:, :, a::2, b::2, c::2] = places[:, a, b, c, :, a : a + i, b : b + j, c : c + k]
    return out + bias[:, None, None, None]


class FoldedUnit(nn.Module):
    """A convolution unit as one convolution and PReLU."""

    def __init__(self, unit: ConvUnit) -> None:
        super().__init__()
        self.conv = fold(unit)
        self.slope = float(unit.act.weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        """As ConvUnit."""
        return functional.leaky_relu_(self.conv(x), self.slope)


class DoublingUnit(nn.Module):
    """Nearest doubling and a convolution unit, in one of the FORMS."""

    def __init__(self, unit: ConvUnit, form: Form) -> None:
        super().__init__()
        self.folded, self.form = FoldedUnit(unit), form
        make = {"plain": Tensor.detach, "transposed": transposed_weight, "phase": phase_weight}[form]
        self.register_buffer("kernel", make(self.folded.conv.weight.detach()))

    def forward(self, coarse: Tensor) -> Tensor:
        """(n, c, i, j, k) -> (n, c, 2i, 2j, 2k)."""
        if self.form == "plain":
            fine: Tensor = self.folded(functional.interpolate(coarse, scale_factor=2.0, mode="nearest"))
            return fine
        kernel, bias = self.get_buffer("kernel"), self.folded.conv.bias
        assert bias is not None
        if self.form == "transposed":
            fine = functional.conv_transpose3d(coarse, kernel, bias, 2, 1)
        else:
            fine = _interleaved(coarse, kernel, bias)
        return functional.leaky_relu_(fine, self.folded.slope)


class FastUNet3d(nn.Module):
    """A trained UNet3d for detection only; equal to it up to rounding."""

    def __init__(self, network: UNet3d, form: Form) -> None:
        super().__init__()
        self.form = form
        downs, ups = cast(list[ResidualUnit], list(network.down)), cast(list[UpUnit], list(network.up))
        self.down = nn.ModuleList(nn.Sequential(FoldedUnit(unit.first), FoldedUnit(unit.second)) for unit in downs)
        self.strides = [unit.stride for unit in downs]
        self.up = nn.ModuleList(DoublingUnit(unit.first, form) for unit in ups)
        self.after = nn.ModuleList(FoldedUnit(unit.second) for unit in ups[:-1] if isinstance(unit.second, ConvUnit))
        self.last = cast(nn.Conv3d, ups[-1].second)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor, box: Box | None = None) -> Tensor:
        """(n, 2, i, j, k) -> (n, 1, i, j, k); with a box only its voxels are right, the rest is zero."""
        skips = []
        h = x
        for unit, stride in zip(self.down, self.strides, strict=True):
            kept = functional.avg_pool3d(h, 3, 2, 1) if stride == 2 else h
            h = unit(h)
            h[:, : kept.shape[1]] += kept
            skips.append(h)
        cut = None if box is None else _coarse_box(box, skips[1].shape[2:])
        for index, skip in enumerate(reversed(skips[:-1])):
            if cut is not None and index >= 2:  # the last two stages; after the first cut h is small already
                skip = _cropped(skip, cut, 2 ** (index - 2))  # noqa: PLW2901
                h = _cropped(h, cut, 1) if index == 2 else h
            h = self.up[index](torch.cat([h, skip], 1))
            h = self.after[index](h) if index < len(self.after) else h
        with torch.autocast(x.device.type, enabled=False):
            filled: Tensor = self.last(h.to(self.last.weight.dtype))
        if cut is None:
            return filled
        out = filled.new_zeros(len(x), 1, *x.shape[2:])
        _cropped(out, cut, 4).copy_(filled)
        return out


def brain_box(brain: Tensor) -> Box:
    """The smallest box around the brain: bool (i, j, k)."""
    inside = brain.nonzero()
    low, high = inside.amin(0).tolist(), inside.amax(0).tolist()
    first, second, third = (slice(a, b + 1) for a, b in zip(low, high, strict=True))
    return first, second, third


def _coarse_box(box: Box, coarse: torch.Size) -> Box:
    """The box in voxels of four, with its halo."""
    first, second, third = (
        slice(max(0, part.start // 4 - HALO), min(n, -(-part.stop // 4) + HALO))
        for part, n in zip(box, coarse, strict=True)
    )
    return first, second, third


def _cropped(x: Tensor, box: Box, factor: int) -> Tensor:
    """A view of the box in (n, c, i, j, k), the box counted in voxels of `factor`."""
    i, j, k = (slice(part.start * factor, part.stop * factor) for part in box)
    return x[..., i, j, k]


@lru_cache(maxsize=8)
def quickest(width: int, device: str, precision: str) -> Form:
    """The form that takes the least time on this device, tried once a process on a small grid."""
    network = UNet3d(width).eval()
    times = {}
    for form in FORMS:
        trial = channels_last(FastUNet3d(network, form)).to(device)
        x = torch.zeros(1, 2, *TRIAL, device=device).to(memory_format=torch.channels_last_3d)
        taken = []
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            for _ in range(3):
                started = time.perf_counter()
                trial(x)
                if device == "cuda":
                    torch.cuda.synchronize()
                taken.append(time.perf_counter() - started)
        times[form] = min(taken[1:])
    return min(FORMS, key=times.__getitem__)
