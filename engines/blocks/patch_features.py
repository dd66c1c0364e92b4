"""Features of places: two maps of the encoder brought onto one grid, averaged over 3x3 cells and over slices.

PatchCore's and SimpleNet's aggregation (unfold 3x3 patches, resize, adaptive means) is a chain of means, so it equals
a few average pools; nothing is ever unfolded nine-fold (tests compare it with the unfolded form).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from engines.errors import BadInput


def feature_size(channels: tuple[int, ...], size: int) -> int:
    """Width of the aggregated features; channels: of strides 8 and 16; size: the wanted width, 0 = all channels."""
    if size == 0:
        return sum(channels)
    if size % 2 or any(count % (size // 2) for count in channels):
        raise BadInput(
            f"{' and '.join(map(str, channels))} channels cannot be averaged into {size} features.",
            "Choose features=0, or an even number whose half divides both.",
        )
    return size


def aggregate(fine: Tensor, coarse: Tensor, size: int = 0) -> Tensor:
    """fine: (n, C2, h, w), coarse: (n, C3, h', w') -> (n, size, h, w); each level gives half of the features.

    A feature is the mean over consecutive channels and over 3x3 cells, zeros counted at the border.
    """
    levels = []
    for level in (fine, coarse):
        if size:
            level = level.unflatten(1, (size // 2, -1)).mean(2)
        levels.append(functional.avg_pool2d(level, 3, 1, 1))
    levels[1] = functional.interpolate(levels[1], fine.shape[2:], mode="bilinear", align_corners=False)
    return torch.cat(levels, 1)


def pool_slices(features: Tensor, count: int, stride: int) -> Tensor:
    """Means of `count` consecutive slices: (n, C, h, w) -> (m, C, h, w).

    stride = count is the published way: m = n // count slabs, the rest dropped. stride 1 gives a slab around every
    slice, m = n, mirrored at both ends.
    """
    if count == 1:
        return features
    n = features.shape[0]
    flat = features.flatten(1).T[None]  # (1, C h w, n)
    if stride == 1 and n > count // 2:
        flat = functional.pad(flat, (count // 2, (count - 1) // 2), mode="reflect")
    elif n < count:
        flat = functional.pad(flat, (0, count - n), mode="replicate")
    pooled = functional.avg_pool1d(flat, count, stride)
    return pooled[0].T.reshape(-1, *features.shape[1:])


def slabs_to_slices(maps: Tensor, slices: int, count: int, stride: int) -> Tensor:
    """Maps of slabs (m, ...) back to slices (n, ...): linear between the middles of the slabs."""
    if len(maps) == slices:
        return maps
    if len(maps) == 1:
        return maps.expand(slices, *maps.shape[1:])
    place = ((torch.arange(slices, dtype=maps.dtype) - (count - 1) / 2) / stride).clamp(0, len(maps) - 1)
    low = place.floor().long().clamp(max=len(maps) - 2)
    share = (place - low).view(-1, *[1] * (maps.ndim - 1))
    return maps[low] * (1 - share) + maps[low + 1] * share
