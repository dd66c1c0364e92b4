"""Stage 0, Encoder-Decoder Contrast (Guo et al., IEEE TMI 2024): an encoder learns healthy slices with its mirror.

The decoder rebuilds the encoder's maps of strides 4, 8, 16 from the one of stride 32. Both learn to agree on healthy
slices; where they disagree on a new one, it shows something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.blocks.resnet import PLANS


class StagePlan(NamedTuple):
    """width: inner channels. out: channels. blocks: how many bottlenecks."""

    width: int
    out: int
    blocks: int


# Stages 3, 2, 1 (to strides 16, 8, 4). The ResNets' are their own mirror; EfficientNet-Lite0 gets a narrow one.
DECODERS = {
    "wide_resnet50_2": (StagePlan(512, 1024, 6), StagePlan(256, 512, 4), StagePlan(128, 256, 3)),
    "resnet50": (StagePlan(256, 1024, 6), StagePlan(128, 512, 4), StagePlan(64, 256, 3)),
    "resnet18": (StagePlan(64, 256, 2), StagePlan(32, 128, 2), StagePlan(16, 64, 2)),
    "efficientnet_lite0": (StagePlan(112, 112, 3), StagePlan(64, 40, 2), StagePlan(48, 24, 2)),
}
BOTTOM = {"wide_resnet50_2": 2048, "resnet50": 2048, "resnet18": 512, "efficientnet_lite0": 320}
MOMENTUM = 0.01


def _up(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Bottleneck(nn.Module):
    """1x1, (bilinear x2), 3x3, 1x1 with a shortcut. first: doubles the side; rectified: ends with ReLU."""

    def __init__(self, cin: int, width: int, out: int, *, first: bool, rectified: bool = True) -> None:
        super().__init__()
        self.rectified = rectified
        self.conv1 = nn.Conv2d(cin, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width, momentum=MOMENTUM)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width, momentum=MOMENTUM)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out, momentum=MOMENTUM)
        self.first = first
        if first:
            self.shortcut_conv = nn.Conv2d(cin, out, 1, bias=False)
            self.shortcut_bn = nn.BatchNorm2d(out, momentum=MOMENTUM)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(n, cin, h, w) -> (n, out, h, w), or twice the side for the first one."""
        h = functional.relu(self.bn1(self.conv1(x)))
        if self.first:
            h = _up(h)
        h = functional.relu(self.bn2(self.conv2(h)))
        h = self.bn3(self.conv3(h))
        h = h + (self.shortcut_bn(_up(self.shortcut_conv(x))) if self.first else x)
        return functional.relu(h) if self.rectified else h


class ContrastDecoder(nn.Module):
    """The mirror of a backbone: map of stride 32 -> maps of strides 4, 8, 16."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        cin = BOTTOM[backbone]
        for level, (width, out, blocks) in zip((3, 2, 1), DECODERS[backbone], strict=True):
            stage = nn.Sequential()
            for number in range(blocks):
                # The maps of EfficientNet-Lite0 are signed, so the last block must be able to follow them.
                rectified = backbone in PLANS or number < blocks - 1
                stage.append(Bottleneck(cin, width, out, first=number == 0, rectified=rectified))
                cin = out
            self.add_module(f"stage{level}", stage)

    def forward(self, bottom: Tensor) -> list[Tensor]:
        """(n, C4, h, w) -> d1 (stride 4), d2 (8), d3 (16)."""
        d3 = self.get_submodule("stage3")(bottom)
        d2 = self.get_submodule("stage2")(d3)
        return [self.get_submodule("stage1")(d2), d2, d3]


def contrast_loss(encoded: Sequence[Tensor], decoded: Sequence[Tensor]) -> list[Tensor]:
    """1 - mean cosine of the flattened maps, one number a level; the encoder's maps are targets without gradient.

    So the encoder learns through the way over stride 32 only.
    """
    return [
        1 - functional.cosine_similarity(d.flatten(1), e.detach().flatten(1)).mean()
        for e, d in zip(encoded, decoded, strict=True)
    ]


def contrast_maps(encoded: Sequence[Tensor], decoded: Sequence[Tensor]) -> list[Tensor]:
    """1 - cosine over the channels at each place: (n, 1, h, w) a level."""
    return [1 - functional.cosine_similarity(d, e, dim=1)[:, None] for e, d in zip(encoded, decoded, strict=True)]


def contrast_map(encoded: Sequence[Tensor], decoded: Sequence[Tensor]) -> Tensor:
    """Mean of the three maps at stride 4: (n, h, w)."""
    first, *rest = contrast_maps(encoded, decoded)
    side = first.shape[2:]
    grown = [functional.interpolate(part, side, mode="bilinear", align_corners=False) for part in rest]
    return torch.stack([first, *grown]).mean(0)[:, 0]


def spread(encoded: Tensor) -> Tensor:
    """Collapse indicator: deviation of the channel-normalised map over all pictures and places, mean of channels.

    Near 0 the encoder has found the cheap way out: the same features everywhere.
    """
    places = functional.normalize(encoded.detach(), dim=1).transpose(0, 1).flatten(1)  # (C, n h w)
    return places.std(1).mean()
