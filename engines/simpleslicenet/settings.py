"""Every choice SimpleSliceNet knows, with the product's defaults; presets are values, not subclasses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from engines.errors import BadInput


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one SimpleSliceNet model; stored in its model.json.

    backbone: the slice encoder, up to stride 16. weights: file with its ImageNet weights, "" = the optional package of
        EfficientNet-Lite0, "random" = none (tests only).
    features: width of the aggregated features, half from stride 8 and half from stride 16; 0 = all channels.
    size: side of the square slices in pixels; side_mm: what they show of a brain, 0 = as much as its mask covers.
    spacing_mm: finer voxels are averaged to it first.
    slices: how many neighbouring slices are averaged; slice_stride: `slices` as published, or 1 = around every slice
        (when detecting; training always takes separate slabs). margin: border around the brain.
    normalisation: "tissue" for brains (black outside the brain), "range" for pictures as they are.
    foreground: learn and score places inside the foreground only. equal_contrast: stretch the grey levels of each
        volume so that grey and white matter differ equally.
    contrast_iterations: steps of stage 0 (Encoder-Decoder Contrast); 0 = the encoder stays as it is.
        contrast_batch, contrast_rate (decoder), contrast_encoder_rate: its batch and learning rates.
    blocks: coupling blocks of the flow. height: tell the flow the height of the slab too.
    standardise: give the flow features of mean 0 and deviation 1.
    loss: "spp" semi-push-pull (arXiv), "triplet" (journal), "likelihood" alone. focal_weights: the published weights of
        spp (unstable, README). spp_weight, beta, tau: weight of its terms, share of normals below the boundary, gap.
    noise: of the synthetic anomalies; relative_noise: in mean deviations of the healthy features.
    lesions: how many lesions are planted, one brain after the other; lesion_share: the share of the synthetic anomalies
        that are places of such lesions, the rest is noise (0 = as published).
    changed: also learn each training volume as another scanner might show it.
    batch: vectors a step, normal and synthetic together (of each for "triplet"). subjects: how many subjects a batch
        is drawn from. iterations, learning_rate: Adam. decay: of the flow's and stage 0's rates; "linear" falls to zero
        over the second half.
    warm_up: share of the iterations with the likelihood alone (semi-push-pull only).
    heatmap: "likelihood" of the flow, or "contrast" of stage 0. score: "calibrated", or one of the published maps.
    distance_share: weight of the distance to the nearest remembered healthy place (PatchCore's) beside the likelihood
        in the calibrated heatmap; 0 = likelihood alone, as published. memory: how many places are remembered.
    own_median: measure each volume against its own median place, so that another scanner does not light up all of it.
    mirrored: share of the mirrored place's score that is taken off a place's own in the calibrated heatmap; 0 as
        published.
    smooth_px: Gaussian sigma of the heatmap in pixels of the slices (and as far across them).
    slice_share: a slice's score is the mean of this share of its highest pixels, 0 = the highest one alone.
    held_out: share of the normal training subjects kept for calibration where the cohort has no normal val split.
    checkpoint_every, seed: iterations between checkpoints; seed of all random numbers.
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
    contrast_iterations: int = 0
    contrast_batch: int = 32
    contrast_rate: float = 5e-4
    contrast_encoder_rate: float = 5e-5
    blocks: int = 8
    height: bool = True
    standardise: bool = True
    loss: Literal["spp", "triplet", "likelihood"] = "spp"
    focal_weights: bool = False
    spp_weight: float = 10.0
    beta: float = 0.05
    tau: float = 0.1
    noise: float = 1.0
    relative_noise: bool = True
    lesions: int = 36
    lesion_share: float = 0.67
    changed: bool = True
    batch: int = 2048
    subjects: int = 8
    iterations: int = 700
    learning_rate: float = 1e-3
    decay: Literal["linear", "none"] = "linear"
    warm_up: float = 0.05
    heatmap: Literal["likelihood", "contrast"] = "likelihood"
    score: Literal["calibrated", "plos", "arxiv"] = "calibrated"
    distance_share: float = 0.75
    memory: int = 4000
    own_median: bool = True
    mirrored: float = 0.5
    smooth_px: float = 6.0
    slice_share: float = 0.05
    held_out: float = 0.15
    checkpoint_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < 64 or self.size % 32:
            raise BadInput(f"SimpleSliceNet's size must be a multiple of 32 from 64 on, not {self.size}.")
        if self.slices < 1 or self.slice_stride not in (1, self.slices):
            raise BadInput(f"The slice stride must be 1 or {self.slices}, not {self.slice_stride}.")
        if self.lesion_share > 0 and self.lesions < 1:
            raise BadInput("A share of lesions needs lesions.", "Set lesions to 1 or more, or lesion_share to 0.")
        if not 0 <= self.distance_share <= 1 or not 0 <= self.mirrored <= 1 or self.memory < 1:
            raise BadInput("SimpleSliceNet's distance_share and mirrored must lie in 0 to 1, its memory at 1 or more.")
        if self.heatmap == "contrast" and not self.contrast_iterations:
            raise BadInput("The contrast heatmap needs stage 0.", "Set contrast_iterations, say to 4000.")

    @property
    def remembers(self) -> bool:
        """Whether the heatmap needs distances to remembered places."""
        return self.distance_share > 0 and self.heatmap == "likelihood" and self.score == "calibrated"

    @classmethod
    def preset(cls, name: str) -> Settings:
        """The settings called `name`: "default", "arxiv2024" or "plos2025" (iterations for 578 training volumes)."""
        published = replace(
            cls(),
            backbone="wide_resnet50_2",
            features=512,
            slice_stride=3,
            spacing_mm=1.0,
            foreground=False,
            side_mm=0.0,
            equal_contrast=False,
            height=False,
            standardise=False,
            spp_weight=1.0,
            batch=4096,
            noise=0.08,
            relative_noise=False,
            lesions=0,
            lesion_share=0.0,
            changed=False,
            distance_share=0.0,
            mirrored=0.0,
            smooth_px=4.0,
            subjects=1,
            decay="none",
        )
        if name == "default":
            return cls()
        if name == "arxiv2024":
            # 100 epochs of 578 volumes in 9 steps, the first one with the likelihood alone.
            return replace(
                published,
                blocks=2,
                focal_weights=True,
                size=256,
                iterations=520_200,
                warm_up=0.01,
                score="arxiv",
                checkpoint_every=5202,
            )
        if name == "plos2025":
            return replace(published, loss="triplet", iterations=69_360, score="plos", checkpoint_every=2312)
        raise BadInput(f"SimpleSliceNet has no preset '{name}'.", "Choose 'default', 'arxiv2024' or 'plos2025'.")

    @classmethod
    def tiny(cls) -> Settings:
        """A model that trains in seconds, for tests of the mechanics."""
        return replace(
            cls(),
            weights="random",
            size=64,
            blocks=2,
            iterations=20,
            batch=256,
            checkpoint_every=10,
            changed=False,
            lesions=2,
            memory=60,
            slices=1,
        )
