"""RASALoRE's network: encoder, refiner, region-aware spatial attention over candidate points, mask decoder.

Spec section (c). Published size (width 32, grid 32, size 128): 7,254,370 parameters. All widths follow `width`: the
point code and the image embedding have 8 * width channels. The published output is twice the size of the input.
This is the plain form, as published; folded.py computes the same faster.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.rasalore.embedding import location_embedding

WIDTH_FACTOR = 8  # channels of the embedding over those of the first stage
CHANNEL_NORM_EPS = 1e-6
DROPOUT = 0.1


class Output(NamedTuple):
    """What the network says of a batch.

    logits: (n, 1, 2S, 2S). activations: (n, points) in 0..1. codes: (n, points, D), the point codes xi.
    embedding: (n, D, S/2, S/2), the image embedding F. slice_logits: (n,) of showing a lesion, 0 without a slice head.
    """

    logits: Tensor
    activations: Tensor
    codes: Tensor
    embedding: Tensor
    slice_logits: Tensor


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel, in float32 or better."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(n, C, h, w) -> the same shape."""
        wide = x if x.dtype == torch.float64 else x.float()
        last = wide.permute(0, 2, 3, 1)  # free of charge where the channels lie together already
        out = functional.layer_norm(last, last.shape[3:], self.weight, self.bias, CHANNEL_NORM_EPS)
        return out.permute(0, 3, 1, 2).to(x.dtype)


class Stage(nn.Module):
    """Two convolutions and a channel norm: (n, cin, h, w) -> (n, cout, h, w)."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, padding=1)
        self.conv2 = nn.Conv2d(cout, cout, 3, padding=1)
        self.norm = ChannelNorm(cout)
        self.drop = nn.Dropout2d(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """Features of a batch."""
        x = self.conv1(x).relu()
        out: Tensor = self.drop(self.norm(self.conv2(x).relu()))
        return out


class Refiner(nn.Module):
    """First-stage features -> what RASA looks at: (n, c, S, S) -> (n, 8c, S/2, S/2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        c2, c4, c8 = 2 * width, 4 * width, 8 * width
        self.conv1, self.bn1 = nn.Conv2d(width, c2, 3, padding=1), nn.BatchNorm2d(c2)
        self.convT2, self.bn2 = nn.ConvTranspose2d(c2, c4, 3, padding=1), nn.BatchNorm2d(c4)
        self.convT3, self.bn3 = nn.ConvTranspose2d(c4, c8, 3, padding=1), nn.BatchNorm2d(c8)
        self.skip = nn.Conv2d(width, c8, 1)

    def forward(self, s1: Tensor) -> Tensor:
        """Features at half the resolution; the pool counts its zero border, as published."""
        x = self.bn1(self.conv1(s1)).relu()
        x = self.bn2(self.convT2(x)).relu()
        x = self.bn3(self.convT3(x)).relu()
        return functional.avg_pool2d(x + self.skip(s1), 4, 2, 1)


class Rasa(nn.Module):
    """Region-aware spatial attention: each candidate point gathers what belongs to it, and says how abnormal it is."""

    location: Tensor

    def __init__(self, width: int, tokens: int, heads: int, location: Tensor) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.register_buffer("location", location)
        self.place = nn.Parameter(torch.randn(tokens, width))  # the figure's Gaussian noise, learned
        self.query = nn.Linear(width, heads * width)
        self.key = nn.Linear(width, heads * width)
        self.value = nn.Linear(width, heads * width)
        self.out = nn.Linear(heads * width, width)
        half, quarter = width // 2, width // 4
        self.score = nn.Sequential(
            nn.Linear(width, half), nn.ReLU(), nn.LayerNorm(half),
            nn.Linear(half, quarter), nn.ReLU(), nn.LayerNorm(quarter), nn.Linear(quarter, 1),
        )  # fmt: skip

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: (n, T, D) -> point codes (n, points, D)."""
        q = self._split(self.query(self.location)[None])  # (1, heads, points, D)
        k, v = self._split(self.key(tokens)), self._split(self.value(tokens + self.place))
        weights = (q @ k.transpose(2, 3) / self.width**0.5).softmax(-1)
        mixed = (weights @ v).transpose(1, 2).flatten(2)  # (n, points, heads * D)
        codes: Tensor = self.out(mixed) + self.location
        return codes

    def activations(self, codes: Tensor) -> Tensor:
        """Point codes (n, points, D) -> (n, points) in 0..1."""
        scores: Tensor = self.score(codes)
        return scores.squeeze(-1).sigmoid()

    def _split(self, x: Tensor) -> Tensor:
        heads: Tensor = x.unflatten(-1, (self.heads, self.width)).transpose(1, 2)
        return heads


class MaskDecoder(nn.Module):
    """Point codes and image embedding -> logits at four times the embedding's resolution."""

    def __init__(self, width: int, side: int, points: int, heads: int) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(1, width, side, side))
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.drop = nn.Dropout(DROPOUT)
        self.norm = nn.LayerNorm(width)
        self.norm_points = nn.LayerNorm(points)
        self.up1 = nn.ConvTranspose2d(points, width // 2, 4, 2, 1)
        self.up2 = nn.ConvTranspose2d(width // 2, width // 4, 4, 2, 1)
        self.last = nn.Conv2d(width // 4, 1, 1)

    def queries(self, embedding: Tensor, codes: Tensor) -> Tensor:
        """T (n, points, D): the codes after they have looked at the image embedding (n, D, s, s)."""
        keys = embedding.flatten(2).transpose(1, 2)  # (n, s * s, D)
        values = (embedding + self.place).flatten(2).transpose(1, 2)
        seen, _ = self.attention(codes, keys, values, need_weights=False)
        out: Tensor = self.norm(self.drop(seen) + codes)
        return out

    def forward(self, embedding: Tensor, codes: Tensor) -> Tensor:
        """Logits (n, 1, 4s, 4s)."""
        similar = embedding.flatten(2).transpose(1, 2) @ self.queries(embedding, codes).transpose(1, 2)
        similar = self.norm_points(similar)  # (n, s * s, points)
        return self.upsampled(self.up1(similar.transpose(1, 2).unflatten(2, embedding.shape[2:])))

    def upsampled(self, first: Tensor) -> Tensor:
        """What follows the first transposed convolution."""
        logits: Tensor = self.last(self.up2(first.relu()).relu())
        return logits


class SliceHead(nn.Module):
    """Whether a slice shows a lesion, from mean and maximum of its embedding: stands for DDPT's slice probability.

    Not part of the published network (and of its parameter count): a model must work alone, without DDPT.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width, 1)
        nn.init.zeros_(self.linear.weight)

    def forward(self, embedding: Tensor) -> Tensor:
        """(n, D, s, s) -> logits (n,)."""
        logits: Tensor = self.linear(torch.cat([embedding.mean((2, 3)), embedding.amax((2, 3))], 1))
        return logits.squeeze(1)


class RasaLore(nn.Module):
    """Stage 2: one grey slice -> mask logits, point activations, point codes."""

    def __init__(
        self,
        width: int = 32,
        size: int = 128,
        grid: int = 32,
        heads: int = 4,
        *,
        legacy_floor: bool = False,
        slice_head: bool = False,
        random: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        random = random or torch.Generator().manual_seed(0)
        wide, side = WIDTH_FACTOR * width, size // 2
        self.size, self.grid = size, grid
        self.stage1, self.stage2 = Stage(1, width), Stage(width, 2 * width)
        self.stage3, self.stage4 = Stage(2 * width, 4 * width), Stage(4 * width, wide)
        self.refiner = Refiner(width)
        location = location_embedding(grid, wide, random, legacy_floor=legacy_floor)
        self.rasa = Rasa(wide, side * side, heads, location.to(torch.get_default_dtype()))
        self.decoder = MaskDecoder(wide, side, grid * grid, heads)
        self.slice_head = SliceHead(wide) if slice_head else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, pictures: Tensor) -> Output:
        """pictures: (n, 1, S, S)."""
        tokens, embedding = self.encode(pictures)
        codes = self.rasa(tokens)
        return self.told(self.decoder(embedding, codes), codes, embedding)

    def told(self, logits: Tensor, codes: Tensor, embedding: Tensor) -> Output:
        """Everything that follows from logits, codes and embedding."""
        head = self.slice_head
        shown = embedding.new_zeros(len(embedding)) if head is None else head(embedding)
        return Output(logits, self.rasa.activations(codes), codes, embedding, shown)

    def encode(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens for RASA (n, S/2 * S/2, D) and the image embedding F (n, D, S/2, S/2)."""
        s1 = self.stage1(pictures)
        s3 = self.stage3(self.stage2(s1))
        embedding = self.stage4(functional.max_pool2d(s3, 2))
        return self.refiner(s1).flatten(2).transpose(1, 2), embedding
