"""Every choice RASALoRE's second stage knows, with the product's defaults; presets are values, not subclasses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from engines.errors import BadInput

LEAST_SIZE = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one RASALoRE model; stored in its model.json.

    size: side S of the square network input in pixels (128 published), a multiple of 4; masks come out at 2 S.
    width: channels of the first stage; the image embedding has 8 times as many (32 published).
    grid: candidate points along a side (32 published). heads: of both attentions.
    legacy_floor: whole-numbered frequencies in the points' codes, for models trained with the published code.
    start: folder of a model of the same size to start from; "" = random weights.
    pseudo_masks: folder written by DDPT; "" = pseudo-masks from grey levels and slice labels alone (appearance.py).
    targets: "outlined": pseudo-masks get an outline from the picture (appearance.py, outline.py) and the network learns
        it pixel by pixel; "coarse": the published losses on DDPT's mask (core) and its refined mask (rim).
    trees: of the classifier behind "outlined" (appearance.py).
    rounds: how often during training the network's own masks of labelled slices become the next pseudo-masks.
    point_sampling: "area" asks what part of a point's cell is masked; "published" looks at one pixel.
    healthy_share: share of lesion-free slices in a batch (0 published).
    point_weight, structure_weight, slice_weight: of the point, code and slice losses beside the mask's (1, 1, 0
        published). slice_weight teaches a small head of the network the slice label.
    slice_factor: what stands for DDPT's slice probability in the score, since a model must work alone: "encoder" a
        linear classifier on a frozen image network (slice_probability.py), "head" the network's own, "none".
    encoder_weights: file with ImageNet weights of that image network; "" = those of the optional package.
    optimiser, learning_rate, decay: "sgd" with momentum 0.9 and halving ten times in a run as published, or "adamw"
        with a linear fall over the second half.
    batch, iterations: slices in a step, steps. ema: decay of the averaged network used for detection; 0 = off.
    turn_degrees, mirror, grey: augmentation on the device: largest turn, left for right, and change of brightness,
        contrast and noise as shares of the published strengths.
    held_out: share of the training subjects kept for choosing the checkpoint where the cohort has no val split.
    margin: border around the brain as a share of its longer side. chunk: slices at once on a CPU,
        0 = as many as take a fifth of a gigabyte.
    top_share: share of the brain's pixels whose mean probability makes a slice's score.
    smooth_slices: Gaussian sigma of slice probabilities over neighbouring slices.
    threshold: probability above which a voxel is in the mask that is shown as pseudo-mask. least_part_px: parts of
        that mask smaller than this many network pixels in a slice are dropped.
    checkpoint_every, seed: iterations between checkpoints; seed of all random numbers.
    """

    size: int = 64
    width: int = 8
    grid: int = 16
    heads: int = 4
    legacy_floor: bool = False
    start: str = ""
    pseudo_masks: str = ""
    targets: Literal["outlined", "coarse"] = "outlined"
    trees: int = 80
    rounds: int = 0
    point_sampling: Literal["area", "published"] = "area"
    healthy_share: float = 0.4
    point_weight: float = 0.3
    structure_weight: float = 0.1
    slice_weight: float = 0.3
    slice_factor: Literal["encoder", "head", "none"] = "head"
    encoder_weights: str = ""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 2e-3
    decay: Literal["linear", "halving"] = "linear"
    batch: int = 8
    iterations: int = 800
    ema: float = 0.99
    turn_degrees: float = 15.0
    mirror: bool = True
    grey: float = 0.5
    held_out: float = 0.1
    margin: float = 0.08
    chunk: int = 0
    top_share: float = 0.1
    smooth_slices: float = 1.0
    threshold: float = 0.5
    least_part_px: int = 6
    checkpoint_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < LEAST_SIZE or self.size % 4:
            raise BadInput(f"RASALoRE's size must be a multiple of 4 from {LEAST_SIZE} on, not {self.size}.")
        if self.width < 2:
            raise BadInput(f"RASALoRE's width must be at least 2, not {self.width}.")
        if self.grid < 2 or (2 * self.size) % self.grid:
            raise BadInput(
                f"{self.grid} points do not divide a mask of {2 * self.size} pixels.", "Choose another grid."
            )
        if self.slice_factor == "head" and self.slice_weight <= 0:
            raise BadInput("The slice factor 'head' needs a slice_weight above 0.")
        if not 0 <= self.healthy_share < 1:
            raise BadInput(f"healthy_share must lie in 0..1, not {self.healthy_share}.")

    @classmethod
    def preset(cls, name: str) -> Settings:
        """The settings called `name`: "default" or "paper" (the published network, losses and schedule)."""
        if name == "default":
            return cls()
        if name == "paper":
            return replace(
                cls(), size=128, width=32, grid=32, targets="coarse", point_sampling="published", healthy_share=0.0,
                point_weight=1.0, structure_weight=1.0, slice_weight=0.0, slice_factor="none", optimiser="sgd",
                decay="halving", learning_rate=1e-2, batch=16, iterations=100_000, ema=0.0, turn_degrees=90.0, grey=1.0,
                smooth_slices=0.0,
            )  # fmt: skip
        raise BadInput(f"RASALoRE has no preset '{name}'.", "Presets: default, paper.")

    @classmethod
    def tiny(cls) -> Settings:
        """A model that trains in seconds, for tests of the mechanics."""
        return cls(
            size=16,
            width=2,
            grid=8,
            heads=2,
            trees=5,
            batch=4,
            iterations=4,
            checkpoint_every=2,
            held_out=0.25,
            chunk=2,
        )
