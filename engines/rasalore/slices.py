"""What the network learns from: slices with their pseudo-masks, how far each is trusted, and the same on the device.

Each slice carries a state, so that a reader's corrections can stand beside automatic masks (spec, section g).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import torch
from torch import Tensor
from torch.nn import functional


class State(IntEnum):
    """Where a slice's mask comes from."""

    AUTO = 0  # a pseudo-mask of a labelled slice
    HEALTHY = 1  # lesion-free by its label: the mask is empty
    CONFIRMED = 2  # a reader agreed with the mask
    CORRECTED = 3  # a reader changed it
    REJECTED = 4  # a reader says there is no lesion
    INTERPOLATED = 5  # between two corrected slices


TRUST = {
    State.AUTO: 1.0, State.HEALTHY: 1.0, State.CONFIRMED: 0.8, State.CORRECTED: 1.0, State.REJECTED: 1.0,
    State.INTERPOLATED: 0.4,
}  # fmt: skip
EMPTY = (State.HEALTHY, State.REJECTED)
DRAWN = (State.CONFIRMED, State.CORRECTED, State.INTERPOLATED)


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """n slices and their targets; S is the network's input side.

    pictures: float16 (n, 1, S, S) in -1..1. foreground: bool (n, 1, S, S). core, rim: bool (n, 1, 2S, 2S), the mask M_D
    and its outline M_S (empty where there is none). states: int64 (n,). trust: float32 (n,), weight of the slice.
    weight: float16 (n, 1, 2S, 2S) of each pixel, 0 = nobody knows, or None = all alike. subjects: int64 (n,).
    """

    pictures: Tensor
    foreground: Tensor
    core: Tensor
    rim: Tensor
    states: Tensor
    trust: Tensor
    subjects: Tensor
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def empty(self) -> Tensor:
        """Which slices are known to show no lesion: bool (n,)."""
        return torch.isin(self.states, torch.tensor(EMPTY, device=self.states.device))

    def to(self, device: torch.device) -> Slices:
        """The same on a device."""
        return self._each(lambda tensor: tensor.to(device))

    def __getitem__(self, index: Tensor) -> Slices:
        """Some of the slices."""
        return self._each(lambda tensor: tensor[index])

    def _each(self, change: object) -> Slices:
        assert callable(change)
        names = ("pictures", "foreground", "core", "rim", "states", "trust", "subjects")
        weight = None if self.weight is None else change(self.weight)
        return replace(self, weight=weight, **{name: change(getattr(self, name)) for name in names})


def gathered(parts: Sequence[Slices]) -> Slices:
    """Several sets as one; a set without pixel weights counts every pixel once."""
    weighted = any(part.weight is not None for part in parts)

    def all_of(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts])

    weights = [
        torch.ones(part.core.shape, dtype=torch.float16) if part.weight is None else part.weight for part in parts
    ]
    return Slices(
        all_of("pictures"), all_of("foreground"), all_of("core"), all_of("rim"), all_of("states"), all_of("trust"),
        all_of("subjects"), torch.cat(weights) if weighted else None,
    )  # fmt: skip


def point_mask(core: Tensor, grid: int, sampling: str) -> Tensor:
    """Which candidate points lie in the mask: (n, 1, side, side) -> (n, grid * grid) of 0 and 1.

    "area": a quarter of the point's cell, so that small lesions have points; "published": the cell's first pixel.
    """
    step = core.shape[2] // grid
    if sampling == "published":
        return core[:, 0, ::step, ::step].flatten(1).float()
    share = functional.avg_pool2d(core.float(), step)
    return (share >= 0.25).flatten(1).float()


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Changes of a batch on its device. degrees: largest turn; grey: share of the published strengths."""

    degrees: float
    mirror: bool
    grey: float

    def __call__(self, batch: Slices, random: torch.Generator) -> Slices:
        """Turned, mirrored and with other greys; masks follow their pictures."""
        pictures, foreground = batch.pictures.float(), batch.foreground.float()
        theta = self._placed(len(pictures), random, pictures.device)

        def moved(maps: Tensor, mode: str) -> Tensor:
            grid = functional.affine_grid(theta, list(maps.shape), align_corners=False)
            return functional.grid_sample(maps, grid, mode=mode, padding_mode="border", align_corners=False)

        inside = moved(foreground, "bilinear") > 0.5
        floor = pictures.amin((1, 2, 3), keepdim=True)
        turned = torch.where(inside, self._other_greys(moved(pictures, "bilinear"), random), floor)
        both = moved(torch.cat([batch.core, batch.rim], 1).float(), "bilinear") > 0.5
        weight = None if batch.weight is None else moved(batch.weight.float(), "nearest")
        return replace(batch, pictures=turned, foreground=inside, core=both[:, :1], rim=both[:, 1:], weight=weight)

    def _placed(self, n: int, random: torch.Generator, device: torch.device) -> Tensor:
        """Affine maps (n, 2, 3): a turn, up to 8 % larger or smaller, up to 4 % aside, mirrored for every second."""
        draw = 2 * torch.rand(5, n, generator=random, device=device) - 1
        angle, scale = draw[0] * self.degrees * torch.pi / 180, 1 + 0.08 * draw[1]
        flip = torch.where(draw[4] > 0, 1.0, -1.0) if self.mirror else torch.ones(n, device=device)
        across = torch.stack([flip * scale * angle.cos(), -scale * angle.sin(), 0.08 * draw[2]], 1)
        down = torch.stack([flip * scale * angle.sin(), scale * angle.cos(), 0.08 * draw[3]], 1)
        return torch.stack([across, down], 1)

    def _other_greys(self, pictures: Tensor, random: torch.Generator) -> Tensor:
        """Brightness and contrast by up to a fifth, noise of 10 of 255 grey levels, times `grey`."""
        shape = (2, len(pictures), 1, 1, 1)
        change = 1 + 0.2 * self.grey * (2 * torch.rand(shape, generator=random, device=pictures.device) - 1)
        grey = (pictures + 1) / 2 * change[0]
        mean = grey.mean((1, 2, 3), keepdim=True)
        noise = torch.randn(pictures.shape, generator=random, device=pictures.device)
        grey = (grey - mean) * change[1] + mean + self.grey * 10 / 255 * noise
        return 2 * grey.clamp(0, 1) - 1
