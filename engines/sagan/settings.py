"""Every choice SAGAN knows, with the product's defaults; presets are values, not subclasses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from engines.errors import BadInput


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one SAGAN model; stored in its model.json.

    size: side S of the square network input in pixels; a power of two, 64 or more (the critic halves six times).
    n_patch: patches along a side; 2 as published, 1 = the whole picture at once.
    width: channels c of the first layer (64 published; 16 for machines without a GPU).
    n_res: residual blocks in the bottleneck.
    position: "film" tells the generator which patch it sees; "reference" is the published code, which the
        instance normalisation right after it erases (README, deviations).
    slice_height: also tell the generator how high in the brain a slice lies (position "film" only).
    anomaly_ratio: share of abnormal pictures drawn into the unlabeled set where their labels are known, -1 =
        take the unlabeled pictures as they come.
    batch, iterations, learning_rate, betas, decay: one iteration = one critic step; "linear" falls to zero over the
        second half, "reference" stays (the published code's decrement sums to 0.1 %).
    critic_steps: critic steps for one generator step. gradient_penalty, identity_weight, restoration_weight: lambdas.
    blobs: share of pseudo-anomalies that are blobs of another brightness instead of foreign patches (0 published).
    mask_keep: share of output pixels that keep the additive map during training; 1 = off.
    foreground: sample pseudo-anomalies, count losses and scores inside the foreground only.
    augment: turn, scale and shift training pictures a little (the reference does not); mirror: also left for right.
    normalisation: "tissue" for brains (black outside the brain mask), "range" for radiographs (the whole picture).
    known_normal: share of the training subjects with slice labels whose lesion-free slices are the known normal
        ones; all slices of the other subjects are the unlabeled ones. held_out: share of the known normal training
        subjects kept for choosing the checkpoint and calibrating, where the cohort has no healthy val split.
    ema: decay of the averaged generator used for detection; 0 = off.
    overlap: detect with overlapping patches and a cosine blend, so that no seam crosses the midline.
    smooth_px, smooth_slices: Gaussian sigma of the residual in network pixels and in slices.
    margin: border around the foreground box, as a share of its longer side.
    checkpoint_every, seed: iterations between checkpoints; seed of all random numbers.
    """

    size: int = 64
    n_patch: int = 2
    width: int = 64
    n_res: int = 6
    position: Literal["film", "reference"] = "film"
    slice_height: bool = False
    anomaly_ratio: float = -1.0
    batch: int = 32
    iterations: int = 20_000
    learning_rate: float = 5e-5
    betas: tuple[float, float] = (0.5, 0.999)
    decay: Literal["linear", "reference"] = "linear"
    critic_steps: int = 2
    gradient_penalty: float = 10.0
    identity_weight: float = 1.0
    restoration_weight: float = 1.0
    blobs: float = 0.5
    mask_keep: float = 0.95
    foreground: bool = True
    augment: bool = True
    mirror: bool = True
    normalisation: Literal["tissue", "range"] = "tissue"
    known_normal: float = 0.5
    held_out: float = 0.15
    ema: float = 0.999
    overlap: bool = True
    smooth_px: float = 1.0
    smooth_slices: float = 1.0
    margin: float = 0.08
    checkpoint_every: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < 64 or self.size & (self.size - 1):
            raise BadInput(f"SAGAN's size must be a power of two from 64 on, not {self.size}.")
        if self.n_patch not in (1, 2):
            raise BadInput(f"SAGAN cuts a side into 1 or 2 patches, not {self.n_patch}.")
        if self.width < 2 or self.width % 2:
            raise BadInput(f"SAGAN's width must be an even number, not {self.width}.")

    @classmethod
    def preset(cls, name: str) -> Settings:
        """The settings called `name`: "default" or "paper" (the published code's choices, 100,000 iterations)."""
        if name == "default":
            return cls()
        if name == "paper":
            return replace(
                cls(),
                position="reference",
                anomaly_ratio=0.6,
                iterations=100_000,
                decay="reference",
                blobs=0.0,
                foreground=False,
                augment=False,
                mirror=False,
                ema=0.0,
                overlap=False,
                smooth_px=0.0,
                smooth_slices=0.0,
                margin=0.0,
                checkpoint_every=1000,
            )
        raise BadInput(f"SAGAN has no preset '{name}'.", "Choose 'default' or 'paper'.")

    @classmethod
    def tiny(cls) -> Settings:
        """A model that trains in seconds, for tests of the mechanics."""
        return replace(cls(), width=4, n_res=1, batch=4, iterations=6, learning_rate=1e-3, checkpoint_every=3)
