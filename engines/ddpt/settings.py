"""Every choice DDPT knows, with the product's defaults; presets are values, not subclasses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from engines.errors import BadInput


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one DDPT model; stored in its model.json.

    backbone: "compact" (bundled, not CLIP) or "clip". clip: folder with a CLIP as transformers saves it; clip_digest:
    filled in by training. weights: file with the ImageNet weights of EfficientNet-Lite0 for the compact backbone, or a
    DDPT model whose backbone is taken over as it is; "" = the optional package.
    text: "learned" vectors before the class word, or "written" sentences. words: "health" (healthy, unhealthy) or
    "tumor" (no tumor, tumor), for CLIP.
    context, visual, extra_keys: number of learned text vectors, prompts a block, keys of the class-aware attention.
    iterations, batch: of prompt training. optimiser, learning_rate, text_rate, weight_decay, momentum: the rates rest
    at warm_up_rate for the share warm_up of the iterations (a tenth of that for the texts), then fall as a cosine.
    alpha: weight of the class-aware prompts' own loss. text_phase: share of the iterations with the texts' losses.
    versions: how many random looks at each slice are kept for training. crop: least share of the picture's area that a
    look shows; turn: largest turn in degrees; grey: strength of random contrast changes.
    smooth_slices: Gaussian sigma over neighbouring slices for the log-odds, in slices.
    blend: weights of the three maps (class token's attention, class-discriminative attention, likeness of each place
    to the class texts). guide_px: radius of the edge-preserving filter that fits the map to the picture, 0 = off.
    mask_level: share of a slice's highest value above which the pseudo-mask lies. least_px: smaller parts are dropped.
    gate: slices below this probability have no mask.
    size, width, depth, dropout: of the compact backbone (CLIP brings its own). pretraining, pretraining_rate:
    iterations and rate of its pretraining. planted: weight of planted lesions there. top: share of a slice's places
    that a lesion slice must have marked.
    margin: border around the brain. held_out: share of the training subjects kept for calibration where the cohort has
    no val split. checkpoint_every, seed: iterations between checkpoints; seed of all random numbers.
    """

    backbone: Literal["compact", "clip"] = "compact"
    clip: str = ""
    clip_digest: str = ""
    weights: str = ""
    text: Literal["learned", "written"] = "learned"
    words: Literal["health", "tumor"] = "health"
    context: int = 16
    visual: int = 10
    extra_keys: int = 10
    iterations: int = 300
    batch: int = 32
    optimiser: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.01
    text_rate: float = 0.002
    weight_decay: float = 5e-4
    momentum: float = 0.9
    warm_up: float = 1 / 6
    warm_up_rate: float = 1e-5
    alpha: float = 0.3
    text_phase: float = 0.5
    versions: int = 3
    crop: float = 0.7
    turn: float = 12.0
    grey: float = 1.0
    smooth_slices: float = 1.0
    blend: tuple[float, float, float] = (1.0, 0.0, 1.0)
    guide_px: int = 16
    mask_level: float = 0.5
    least_px: int = 30
    gate: float = 0.5
    size: int = 256
    width: int = 96
    depth: int = 2
    dropout: float = 0.2
    pretraining: int = 300
    pretraining_rate: float = 1e-3
    planted: float = 1.0
    top: float = 0.05
    margin: float = 0.08
    held_out: float = 0.15
    checkpoint_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if self.backbone == "clip" and not self.clip:
            raise BadInput("DDPT on CLIP needs a CLIP.", "Name a folder with --set clip=FOLDER.")
        if self.size < 32 or self.size % 32:
            raise BadInput(f"DDPT's size must be a multiple of 32, not {self.size}.")
        if self.width % 8 or self.width < 8:
            raise BadInput(f"DDPT's width must be a multiple of 8, not {self.width}.")
        if self.depth < 2 or self.versions < 1:
            raise BadInput("DDPT needs two blocks and one look at each slice at least.")
        if min(self.blend) < 0 or not sum(self.blend):
            raise BadInput("DDPT's map is a blend with weights from 0 on, not all 0.")

    @classmethod
    def preset(cls, name: str) -> Settings:
        """The settings called `name`: "default", or "paper" (the published choices; needs a CLIP ViT-B/32)."""
        if name == "default":
            return cls()
        if name == "paper":
            return replace(
                cls(),
                iterations=12_000,
                crop=0.08,
                turn=0.0,
                grey=0.0,
                smooth_slices=0.0,
                blend=(1.0, 0.0, 0.0),
                guide_px=0,
                least_px=0,
                gate=0.0,
            )
        raise BadInput(f"DDPT has no preset '{name}'.", "Choose 'default' or 'paper'.")

    @classmethod
    def tiny(cls) -> Settings:
        """A model that trains in seconds, for tests of the mechanics."""
        return replace(
            cls(),
            size=64,
            width=16,
            depth=2,
            visual=2,
            context=2,
            extra_keys=2,
            versions=1,
            batch=4,
            iterations=6,
            pretraining=6,
            guide_px=2,
            least_px=2,
            checkpoint_every=3,
            weights="random",
        )
