"""The compact backbone: a small transformer on frozen ImageNet features, for machines without CLIP.

It has CLIP's interface but is not CLIP: its "texts" are two fixed directions, and its blocks were pretrained by us
(pretraining.py). Each of its tokens sees the features of EfficientNet-Lite0 at strides 8 and 16, the grey levels there,
and how all that differs from the other side of the head: lesions are seldom symmetric.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.blocks.slice_encoder import SliceEncoder

STRIDE = 16
GREY = 3  # mean, brightest part and deviation of the grey levels of a cell
PLACE = 3  # height in the picture, distance from its midline and from its middle
HIDDEN = 128
HEADS = 4
FAR = 6.0  # deviations beyond which a feature says no more


class Attention(nn.Module):
    """Self-attention with the names of CLIP's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_heads = HEADS
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, tokens: Tensor) -> Tensor:
        """(b, n, width) -> the same."""
        parts = (layer(tokens).unflatten(-1, (HEADS, -1)).transpose(1, 2) for layer in self._inputs)
        mixed = functional.scaled_dot_product_attention(*parts)  # (b, heads, n, width / heads)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out

    @property
    def _inputs(self) -> tuple[nn.Linear, ...]:
        return self.q_proj, self.k_proj, self.v_proj


class Block(nn.Module):
    """A transformer block that normalises first."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """(b, n, width) -> the same."""
        tokens = tokens + self.drop(self.attention(self.norm1(tokens)))
        out: Tensor = tokens + self.drop(self.mlp(self.norm2(tokens)))
        return out


class CompactBackbone(nn.Module):
    """See network.Backbone. seen: (b, side * side, 2 * features), of the slice and of its mirror image turned back."""

    mirrors = True

    def __init__(
        self, encoder: SliceEncoder, size: int = 256, width: int = 96, depth: int = 2, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        fine, coarse = encoder.channels[1:3]
        features = coarse + 2 * fine + GREY
        self.size, self.side, self.width, self.depth = size, size // STRIDE, width, depth
        self.text_width = self.embedding = width // 2
        self.register_buffer("mean", torch.zeros(2 * features))
        self.register_buffer("deviation", torch.ones(2 * features))
        self.register_buffer("places", _places(self.side), persistent=False)
        self.stem = nn.Sequential(
            nn.Linear(2 * features + PLACE, HIDDEN), nn.GELU(), nn.Dropout(dropout), nn.Linear(HIDDEN, width)
        )
        self.class_token = nn.Parameter(0.02 * torch.randn(width))
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, self.embedding, bias=False)
        self.texts: Tensor = nn.Parameter(torch.randn(2, self.embedding))
        self.log_scale = nn.Parameter(torch.tensor(2.0))

    def look(self, pictures: Tensor) -> Tensor:
        """See network.Backbone."""
        own, other = self._cells(pictures), self._cells(pictures.flip(-1)).flip(-1)
        return torch.cat([own, other], 1).flatten(2).transpose(1, 2)

    def mirrored(self, seen: Tensor) -> Tensor:
        """What look() would give for the mirror images."""
        own, other = seen.unflatten(1, (self.side, self.side)).flip(2).flatten(1, 2).chunk(2, -1)
        return torch.cat([other, own], -1)

    def sides(self, seen: Tensor) -> Tensor:
        """Features of each place, and how they differ from the other side of the head."""
        own, other = seen.chunk(2, -1)
        return torch.cat([own, own - other], -1)

    def _cells(self, pictures: Tensor) -> Tensor:
        _, fine, coarse = self.encoder(pictures)[:3]
        grey = ((pictures + 1) / 2)[:, None]
        spots = functional.max_pool2d(functional.avg_pool2d(grey, STRIDE // 4), 4)
        parts = [coarse, *_mean_and_deviation(fine, 2)]
        mean, deviation = _mean_and_deviation(grey, STRIDE)
        return torch.cat([*parts, mean, spots, deviation], 1)

    def embed(self, seen: Tensor) -> Tensor:
        """See network.Backbone."""
        scaled = (self.sides(seen) - self.get_buffer("mean")) / self.get_buffer("deviation")
        places = self.get_buffer("places").expand(len(seen), -1, -1)
        patches = self.stem(torch.cat([scaled.clamp(-FAR, FAR), places], -1))
        return torch.cat([self.class_token.expand(len(patches), 1, -1), patches], 1)

    def block(self, number: int, tokens: Tensor) -> Tensor:
        """See network.Backbone."""
        out: Tensor = self.blocks[number](tokens)
        return out

    @property
    def last_attention(self) -> nn.Module:
        """See network.Backbone."""
        last = self.blocks[-1]
        assert isinstance(last, Block)
        return last.attention

    def project(self, tokens: Tensor) -> Tensor:
        """See network.Backbone."""
        projected: Tensor = self.projection(self.norm(tokens))
        return projected

    @property
    def scale(self) -> Tensor:
        """See network.Backbone."""
        scale: Tensor = self.log_scale.exp()
        return scale

    def written_texts(self) -> Tensor:
        """The two fixed directions that stand for the class texts."""
        return self.texts

    def learned_texts(self, context: Tensor) -> Tensor:
        """The same, each turned by the mean of the learned vectors: there is no text network here."""
        turned: Tensor = self.texts + context.mean(0) * self.texts.norm(dim=-1, keepdim=True)
        return turned


def _places(side: int) -> Tensor:
    """Where each place lies, alike for both sides of the head: (side * side, 3)."""
    line = torch.linspace(-1, 1, side)
    row, col = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([row, col.abs(), (row.square() + col.square()).sqrt()], -1).flatten(0, 1)


def _mean_and_deviation(maps: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation over squares of `size`: (b, c, h, w) -> (b, c, h / size, w / size) each."""
    mean = functional.avg_pool2d(maps, size)
    square = functional.avg_pool2d(maps.square(), size)
    return mean, (square - mean.square()).clamp(min=0).sqrt()
