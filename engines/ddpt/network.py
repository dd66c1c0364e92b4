"""Dual prompt tuning on a frozen image-and-text network: what is learned, and one look at a batch of slices.

Visual prompts ride along in all blocks but the last; there two class-aware prompts (CAVPT) take their place, which a
cross-attention has made from the class texts and the slice itself. The slice is compared with the two class texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 2  # healthy, unhealthy: in this order everywhere
CROSS_WIDTH = 32  # of queries and keys in the class-aware cross-attention, whatever the backbone's width
PROMPT_DEVIATION = 0.02


class Backbone(Protocol):
    """A frozen image-and-text network. Tokens: (b, 1 + side * side, width), the class token first.

    size: pixels along a slice. side: patches along a slice. width: of a token. text_width: of a text vector.
    embedding: of the common space. depth: number of blocks. mirrors: whether mirrored() is exact and free.
    """

    mirrors: bool

    size: int
    side: int
    width: int
    text_width: int
    embedding: int
    depth: int

    def look(self, pictures: Tensor) -> Tensor:
        """Slices (b, S, S) in -1..1 -> what the first block is made from, (b, ...); nothing learned comes before."""
        ...

    def mirrored(self, seen: Tensor) -> Tensor:
        """What look() would give for the mirror images, from what it gave for the slices."""
        ...

    def embed(self, seen: Tensor) -> Tensor:
        """What look() gave -> tokens before the first block."""
        ...

    def block(self, number: int, tokens: Tensor) -> Tensor:
        """Any number of tokens through one block."""
        ...

    @property
    def last_attention(self) -> nn.Module:
        """The self-attention of the last block, with q_proj, k_proj and num_heads."""
        ...

    def project(self, tokens: Tensor) -> Tensor:
        """Tokens (..., width) after the last block -> (..., embedding), not of unit length."""
        ...

    def written_texts(self) -> Tensor:
        """Features (2, embedding) of the fixed class texts, not of unit length."""
        ...

    def learned_texts(self, context: Tensor) -> Tensor:
        """Features (2, embedding) of the class words behind learned vectors (n, text_width)."""
        ...

    @property
    def scale(self) -> Tensor:
        """Factor on cosines that makes them logits."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Glance:
    """What one look at a batch gave.

    logits: (b, 2). auxiliary: (b, 2 prompts, 2 classes). class_prompts: (b, 2, width). class_attention: (b, 2,
    1 + patches + extra keys), of each class text over tokens and extra keys. tokens: (b, 1 + patches, width) after the
    last block. texts: (2, embedding), unit length.
    """

    logits: Tensor
    auxiliary: Tensor
    class_prompts: Tensor
    class_attention: Tensor
    tokens: Tensor
    texts: Tensor


class DualPrompts(nn.Module):
    """Everything that is learned: 1,137,920 parameters on a ViT-B/32.

    context: vectors before the class word. visual: prompts of each block but the last. extra_keys: of the
    cross-attention.
    """

    def __init__(self, backbone: Backbone, context: int = 16, visual: int = 10, extra_keys: int = 10) -> None:
        super().__init__()
        width = backbone.width
        self.text_context = nn.Parameter(torch.empty(context, backbone.text_width))
        self.visual = nn.Parameter(torch.empty(backbone.depth - 1, visual, width))
        self.extra_keys = nn.Parameter(torch.empty(extra_keys, width))
        self.meta = nn.Linear(backbone.embedding, width)
        self.query = nn.Linear(width, CROSS_WIDTH, bias=False)
        self.key = nn.Linear(width, CROSS_WIDTH, bias=False)
        self.value_out = nn.Linear(width, width, bias=False)
        self.norm_auxiliary = nn.LayerNorm(width)
        self.norm_prompt = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, CLASSES, bias=False)
        for name, parameter in self.named_parameters():
            if not name.startswith("norm_"):
                nn.init.normal_(parameter, std=PROMPT_DEVIATION)
        nn.init.zeros_(self.meta.bias)

    def class_prompts(self, tokens: Tensor, texts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Class-aware prompts (b, 2, width), auxiliary logits (b, 2, 2) and the attention behind them.

        tokens: (b, n, width) before the last block, their gradient is stopped; texts: (2, embedding).
        """
        batch = len(tokens)
        asked = self.meta(texts).expand(batch, -1, -1)  # (b, 2, width)
        keys = torch.cat([tokens.detach(), self.extra_keys.expand(batch, -1, -1)], 1)
        scores = self.query(asked) @ self.key(keys).transpose(1, 2) / CROSS_WIDTH**0.5
        attention = scores.softmax(-1)  # (b, 2, n + extra keys)
        found = self.value_out(attention @ keys)
        return self.norm_prompt(found + asked), self.classifier(self.norm_auxiliary(found)), attention


def glance(backbone: Backbone, prompts: DualPrompts, tokens: Tensor, *, learned_text: bool) -> Glance:
    """One look at a batch of slices. tokens: (b, 1 + patches, width) before the first block.

    learned_text: class texts behind learned vectors, which enter the class-aware prompts as they are; else the fixed
    sentences, which enter at unit length, in training and at map time alike.
    """
    texts = backbone.learned_texts(prompts.text_context) if learned_text else backbone.written_texts()
    unit = functional.normalize(texts, dim=-1)
    count = tokens.shape[1]
    for number in range(backbone.depth - 1):
        own = prompts.visual[number].expand(len(tokens), -1, -1)
        tokens = backbone.block(number, torch.cat([tokens, own], 1))[:, :count]
    class_prompts, auxiliary, attention = prompts.class_prompts(tokens, texts if learned_text else unit)
    tokens = backbone.block(backbone.depth - 1, torch.cat([tokens, class_prompts], 1))[:, :count]
    feature = functional.normalize(backbone.project(tokens[:, 0]), dim=-1)
    return Glance(backbone.scale * feature @ unit.T, auxiliary, class_prompts, attention, tokens, unit)


@torch.no_grad()
def zero_shot(backbone: Backbone, tokens: Tensor) -> Tensor:
    """Features (b, embedding) without any prompt, not of unit length; they never change in training."""
    for number in range(backbone.depth):
        tokens = backbone.block(number, tokens)
    return backbone.project(tokens[:, 0])


@contextmanager
def watched(attention: nn.Module) -> Iterator[list[Tensor]]:
    """Collects what the class token attends to each time this self-attention runs: (b, tokens), mean of the heads.

    A hook on the one module that is asked for: no other block has to give up its fused attention.
    """
    rows: list[Tensor] = []

    def look(module: Any, arguments: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        tokens = named["hidden_states"] if "hidden_states" in named else arguments[0]
        rows.append(class_row(module, tokens))

    handle = attention.register_forward_pre_hook(look, with_kwargs=True)
    try:
        yield rows
    finally:
        handle.remove()


def class_row(attention: Any, tokens: Tensor) -> Tensor:
    """The first row of a self-attention: (b, n, width) -> (b, n), mean of the heads."""
    heads = attention.num_heads
    query = attention.q_proj(tokens[:, :1]).unflatten(-1, (heads, -1)).transpose(1, 2)  # (b, heads, 1, width / heads)
    key = attention.k_proj(tokens).unflatten(-1, (heads, -1)).transpose(1, 2)
    scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
    row: Tensor = scores.softmax(-1).mean(1)[:, 0]
    return row
