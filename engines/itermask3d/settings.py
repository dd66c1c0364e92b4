"""Every choice IterMask3D knows, with the product's defaults; presets are values, not subclasses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from engines.errors import BadInput

LEAST_SIDE = 32  # the deepest average pooling needs two voxels
Mode = Literal["exact", "fast"]
MODES: tuple[Mode, ...] = get_args(Mode)
Score = Literal["mask", "error", "unusual"]
SCORES: tuple[Score, ...] = get_args(Score)
MOST_LEVELLED = 5
LANDMARKS = 13  # percentiles, see preparation.PERCENTILES
MOST_ITERATIONS = 31  # one bit each in the result's iteration masks


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one IterMask3D model; stored in its model.json.

    size: voxels of the model's grid to the right, to the front and upwards; each divisible by 16, from 32 on.
    voxel_mm: side of its cubic voxels (published: 192x192x192 of 1 mm).
    width: channels of the first stage (16 published, 8.9 million parameters; a quarter of that at 8).
    dropout: share of single values dropped in training (0.2 published).
    matched: training measures the healthy percentiles of grey levels, and every scan's are moved to them (not so
        published); landmarks: these percentiles, in standard deviations of the brain; empty = scans stay as they are.
    levelled: how often a scan's shading is measured against its filling and taken off (0 as published).
    from_model: folder of a model whose weights training starts with; none = from random ones.
    radius: of the sphere of low frequencies that the high-frequency image lacks, in bins along the longest side.
    whole_brain: share of training masks that cover the whole brain, as the first one of a detection does (0 published).
    planted: share of training volumes shown with an invented lesion that the network must fill in as healthy (0
        published); lesion_weight: how much more its voxels count in the loss.
    augment: mirror, turn, scale, re-shade and trim training volumes ("reference": quarter turns of one in ten).
    batch, iterations, learning_rate: of Adam. decay: "linear" falls to zero over the second half, "reference" to a
        tenth after 60 %. ema: decay of the averaged weights used for detection; 0 = off. settle: training volumes on
        which their batch norms' statistics are measured.
    gamma: slope of the threshold curve above which an error counts as abnormal (published: 0.05 and 0.01); 0 = the
        slope that healthy volumes have at their healthy_step-th percentile, measured by `calibrate`.
    y_limit: errors beyond it are left out of the fit. uncrossed: the percentile taken where no slope exceeds gamma:
        100 leaves next to nothing in the mask, the published 1 nearly the whole brain.
    start: phase B begins with the whole brain or with the mask of the chosen threshold.
    stop_ratio: phase B ends when the mask shrinks by less than this share; max_iterations: or after so many steps.
    composite: keep unmasked tissue as it is before comparing, so that the mask can only shrink (IterMask2).
    mode: "exact" tries each percentile, "fast" every coarse_step-th and each of the last five, and interpolates.
    relative: errors are divided by those of healthy brains at the same place, so that the brain's rim does not drown
        a lesion; the published ones are as they are.
    heat: the heatmap shows the error of the last pass (published) or the mean over the passes of phase B, over the
        threshold; or how far the scan lies from its filling under the final mask, in healthy standard deviations at the
        same place ("deviation").
    smooth_mm: Gaussian sigma of the heatmap (of the signed difference for "deviation") inside the brain; 0 as
        published.
    mirrored: share of the mirrored place's deviation that is taken off a place's own ("deviation" only).
    slice_share: a slice's score is the mean of this share of its highest voxels.
    score: what a study's score is: the share of the brain in the final mask, the mean error inside the brain (both
        published), or how far the scan's signs (signs.py) lie from those of healthy ones, to either side ("unusual").
    checkpoint_every, seed: iterations between checkpoints; seed of all random numbers.
    """

    size: tuple[int, int, int] = (96, 96, 96)
    voxel_mm: float = 2.0
    width: int = 16
    dropout: float = 0.0
    matched: bool = True
    landmarks: tuple[float, ...] = ()
    levelled: int = 2
    from_model: str = ""
    radius: int = 15
    whole_brain: float = 0.15
    planted: float = 0.75
    lesion_weight: float = 30.0
    augment: Literal["none", "reference", "full"] = "full"
    batch: int = 2
    iterations: int = 20_000
    learning_rate: float = 1e-3
    decay: Literal["linear", "reference"] = "linear"
    ema: float = 0.99
    settle: int = 12
    gamma: float = 0.0
    healthy_step: int = 98
    y_limit: float = 10.0
    uncrossed: int = 100
    start: Literal["brain", "threshold"] = "brain"
    stop_ratio: float = 0.01
    max_iterations: int = 30
    composite: bool = False
    mode: Mode = "exact"
    coarse_step: int = 5
    relative: bool = True
    heat: Literal["last", "mean", "deviation"] = "deviation"
    smooth_mm: float = 6.0
    mirrored: float = 0.3
    slice_share: float = 0.05
    score: Score = "unusual"
    checkpoint_every: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        if any(side < LEAST_SIDE or side % 16 for side in self.size):
            raise BadInput(f"IterMask3D's sides must be multiples of 16 from 32 on, not {self.size}.")
        if not 1 <= self.max_iterations <= MOST_ITERATIONS:
            raise BadInput(f"IterMask3D takes 1 to {MOST_ITERATIONS} iterations, not {self.max_iterations}.")
        for step in (self.healthy_step, self.uncrossed):
            if not 1 <= step <= 100:
                raise BadInput(f"IterMask3D's percentiles run from 1 to 100: {step} is none.")
        if self.settle < 1:
            raise BadInput(f"IterMask3D settles on at least one volume, not {self.settle}.")
        if self.gamma < 0:
            raise BadInput(f"IterMask3D's gamma cannot be negative: {self.gamma:g}.")
        if not 0 <= self.levelled <= MOST_LEVELLED:
            raise BadInput(f"IterMask3D levels a scan 0 to {MOST_LEVELLED} times, not {self.levelled}.")
        if self.landmarks and (len(self.landmarks) != LANDMARKS or list(self.landmarks) != sorted(self.landmarks)):
            raise BadInput(f"IterMask3D's landmarks are {LANDMARKS} rising grey levels.", "Leave them to training.")
        if not 1 <= self.coarse_step <= 20 or 100 % self.coarse_step:
            raise BadInput(f"IterMask3D's coarse step must divide 100 and be at most 20, not {self.coarse_step}.")

    @classmethod
    def preset(cls, name: str) -> Settings:
        """The settings called `name`: "default" or "paper" (the published choices)."""
        if name == "default":
            return cls()
        if name == "paper":
            return replace(
                cls(),
                size=(192, 192, 192),
                voxel_mm=1.0,
                dropout=0.2,
                matched=False,
                levelled=0,
                whole_brain=0.0,
                planted=0.0,
                augment="reference",
                decay="reference",
                ema=0.0,
                gamma=0.05,
                uncrossed=1,
                relative=False,
                heat="last",
                smooth_mm=0.0,
                slice_share=1.0,
                score="mask",
            )
        raise BadInput(f"IterMask3D has no preset '{name}'.", "Choose 'default' or 'paper'.")

    @classmethod
    def tiny(cls) -> Settings:
        """A model that trains in seconds, for tests of the mechanics."""
        return replace(
            cls(), size=(32, 32, 32), voxel_mm=6.0, width=2, radius=8, batch=1, iterations=6, checkpoint_every=3,
            settle=2, mode="fast", coarse_step=20, max_iterations=10,
        )  # fmt: skip
