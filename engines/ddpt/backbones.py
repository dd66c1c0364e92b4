"""Making the frozen backbone a model asks for, and saying which one it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from engines import model_package, setting_values
from engines.blocks import network_weights
from engines.blocks.feature_store import network_digest
from engines.blocks.slice_encoder import SliceEncoder, load_encoder, random_encoder
from engines.ddpt import CARD
from engines.ddpt.clip_backbone import ClipBackbone, load_clip
from engines.ddpt.compact import CompactBackbone
from engines.ddpt.settings import Settings
from engines.ddpt.texts import TEXTS
from engines.errors import BadInput

RANDOM = "random"  # settings.weights for tests of the mechanics
ENCODER: Literal["efficientnet_lite0"] = "efficientnet_lite0"


def backbone_to_train(settings: Settings) -> tuple[ClipBackbone | CompactBackbone, str, bool]:
    """A backbone, the digest of what it looks with, and whether its blocks still have to be pretrained.

    CLIP from the user's folder; a compact one from ImageNet weights, or as another DDPT model has it.
    """
    if settings.backbone == "clip":
        clip, digest = load_clip(settings.clip, TEXTS[settings.words])
        return clip, digest, False
    if settings.weights and (Path(settings.weights) / model_package.CARD).is_file():
        taken = _taken_over(Path(settings.weights), settings)
        return taken, network_digest(taken.encoder), False
    if settings.weights == RANDOM:
        compact = _compact(settings, random_encoder(ENCODER, settings.seed))
    else:
        compact = _compact(settings, load_encoder(ENCODER, settings.weights)[0])
    return compact, network_digest(compact.encoder), True


def stored_backbone(settings: Settings, weights: Mapping[str, Any], name: str) -> ClipBackbone | CompactBackbone:
    """The backbone of a model: its own compact one, or the very CLIP it was trained on, from the folder it names."""
    if settings.backbone == "clip":
        return load_clip(settings.clip, TEXTS[settings.words], settings.clip_digest)[0]
    compact = _compact(settings, random_encoder(ENCODER, settings.seed))
    network_weights.restore({"backbone": compact}, weights, name)
    return compact


def stored_networks(backbone: ClipBackbone | CompactBackbone, prompts: nn.Module) -> dict[str, nn.Module]:
    """What a package holds: the prompts, and the backbone unless it is a CLIP of the user's."""
    own: dict[str, nn.Module] = {"prompts": prompts}
    return own | {"backbone": backbone} if isinstance(backbone, CompactBackbone) else own


def _compact(settings: Settings, encoder: SliceEncoder) -> CompactBackbone:
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        return CompactBackbone(encoder, settings.size, settings.width, settings.depth, settings.dropout)


def _taken_over(folder: Path, settings: Settings) -> CompactBackbone:
    loaded = model_package.load(folder, CARD.key)
    theirs: Settings = setting_values.restore(Settings, loaded.card.settings)
    shape = [(one.backbone, one.size, one.width, one.depth) for one in (theirs, settings)]
    if shape[0] != shape[1]:
        raise BadInput(
            f"The backbone of {folder} has other sizes than these settings.", "Take its size, width and depth."
        )
    found = stored_backbone(theirs, loaded.weights, loaded.card.name)
    assert isinstance(found, CompactBackbone)
    return found
