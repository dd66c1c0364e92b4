"""Every choice PatchCore knows, with the product's defaults."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from engines.errors import BadInput


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one PatchCore model; stored in its model.json.

    backbone, weights, features, size, side_mm, spacing_mm, slices, slice_stride, margin, normalisation, foreground,
        equal_contrast: how slices are looked at, as in SimpleSliceNet, so that both see the same (slices=1 is the
        published way).
    candidates: random healthy places the memory is chosen from; memory: how many of them are kept.
    projection: random directions in which the choice measures distances; 0 = all features.
    changed: also remember each training volume as another scanner might show it.
    by_place: scores in healthy standard deviations at the same place; without it the distance itself.
    own_median: measure each volume against its own median place (with by_place).
    smooth_px: Gaussian sigma of the heatmap in pixels of the slices. slice_share: a slice's score is the mean of this
        share of its highest pixels, 0 = the highest one alone (as published, without its re-weighting).
    held_out: share of the normal training subjects kept for calibration where the cohort has no normal val split.
    seed: of all random numbers.
    """

    backbone: Literal["efficientnet_lite0", "resnet18", "resnet50", "wide_resnet50_2"] = "efficientnet_lite0"
    weights: str = ""
    features: int = 0
    size: int = 192
    side_mm: float = 200.0
    spacing_mm: float = 2.0
    slices: int = 3
    slice_stride: int = 1
    margin: float = 0.08
    normalisation: Literal["tissue", "range"] = "tissue"
    foreground: bool = True
    equal_contrast: bool = True
    candidates: int = 50_000
    memory: int = 4000
    projection: int = 64
    changed: bool = False
    by_place: bool = False
    own_median: bool = False
    smooth_px: float = 4.0
    slice_share: float = 0.05
    held_out: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < 64 or self.size % 32:
            raise BadInput(f"PatchCore's size must be a multiple of 32 from 64 on, not {self.size}.")
        if self.slices < 1 or self.slice_stride not in (1, self.slices):
            raise BadInput(f"The slice stride must be 1 or {self.slices}, not {self.slice_stride}.")
        if self.memory < 1 or self.candidates < self.memory:
            raise BadInput("PatchCore's memory must be at least 1, and no larger than its candidates.")

    @classmethod
    def tiny(cls) -> Settings:
        """A model that is made in seconds, for tests of the mechanics."""
        return replace(cls(), weights="random", size=64, candidates=400, memory=60, projection=16)
