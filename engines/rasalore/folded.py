"""The same network with less work: exact rewrites of RASA, the mask decoder and the refiner.

RASA: the queries do not depend on the picture, so queries and key projection become one matrix; the key's bias cancels
in the softmax, and values are projected after mixing, for points instead of tokens. All heads then look at the same
keys and values, which is one attention with heads * points queries.
Decoder: the norm over the points commutes with the product F T', which is never formed: its mean vanishes when T is
centred, its variance is x' Cov(T) x, and the first transposed convolution gets the kernel (gamma T)' W of each picture.
Refiner (detection only): batch norms go into the convolutions; a transposed convolution of stride 1 is a convolution
with the kernel turned round. Equality is tested (tests/engines/rasalore/test_folded.py).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.rasalore.network import MaskDecoder, Output, Rasa, RasaLore, Refiner


class RasaConstants(NamedTuple):
    """What RASA needs besides the tokens: queries (heads * points, D), mixing (heads, D, D), offset (points, D)."""

    queries: Tensor
    mixing: Tensor
    offset: Tensor


def rasa_constants(rasa: Rasa) -> RasaConstants:
    """Fold the projections of RASA; differentiable, so that training may use them too."""
    heads, width = rasa.heads, rasa.width
    q = rasa.query(rasa.location).unflatten(1, (heads, width)).transpose(0, 1)  # (heads, points, D)
    queries = q @ rasa.key.weight.unflatten(0, (heads, width)) / width**0.5
    out = rasa.out.weight.unflatten(1, (heads, width)).permute(1, 0, 2)  # (heads, D, D) per head
    mixing = (out @ rasa.value.weight.unflatten(0, (heads, width))).transpose(1, 2)
    offset = rasa.out.bias + rasa.out.weight @ rasa.value.bias + rasa.location
    return RasaConstants(queries.flatten(0, 1), mixing, offset)


def rasa_codes(rasa: Rasa, constants: RasaConstants, tokens: Tensor) -> Tensor:
    """Point codes (n, points, D) of tokens (n, T, D)."""
    queries = constants.queries.expand(len(tokens), 1, -1, -1)
    values = tokens + rasa.place
    seen = functional.scaled_dot_product_attention(queries, tokens[:, None], values[:, None], scale=1.0)
    seen = seen.unflatten(2, (rasa.heads, -1))[:, 0]  # (n, heads, points, D)
    codes: Tensor = (seen @ constants.mixing).sum(1) + constants.offset
    return codes


def decode(decoder: MaskDecoder, embedding: Tensor, codes: Tensor) -> Tensor:
    """Logits (n, 1, 4s, 4s) of the embedding (n, D, s, s) and the codes, without the map of all points."""
    queries = decoder.queries(embedding, codes)
    centred = queries - queries.mean(1, keepdim=True)  # (n, points, D)
    covariance = centred.transpose(1, 2) @ centred / centred.shape[1]
    x = embedding.flatten(2)  # (n, D, s * s)
    variance = (x * (covariance @ x)).sum(1, keepdim=True)
    x = x * (variance + decoder.norm_points.eps).rsqrt()
    weight = decoder.up1.weight.flatten(1)  # (points, C * 16)
    kernel = (decoder.norm_points.weight[:, None] * centred).transpose(1, 2) @ weight  # (n, D, C * 16)
    constant = decoder.norm_points.bias @ weight
    columns = kernel.transpose(1, 2) @ x + constant[:, None]  # (n, C * 16, s * s)
    side = 2 * embedding.shape[2]
    assert decoder.up1.bias is not None
    first = functional.fold(columns, (side, side), 4, padding=1, stride=2) + decoder.up1.bias[:, None, None]
    return decoder.upsampled(first)


def forward(network: RasaLore, pictures: Tensor) -> Output:
    """network(pictures) by the rewrites that hold in training too."""
    tokens, embedding = network.encode(pictures)
    codes = rasa_codes(network.rasa, rasa_constants(network.rasa), tokens)
    return network.told(decode(network.decoder, embedding, codes), codes, embedding)


class FoldedRefiner(nn.Module):
    """A refiner in evaluation mode as plain convolutions."""

    def __init__(self, refiner: Refiner) -> None:
        super().__init__()
        self.conv1 = _folded(refiner.conv1.weight, refiner.conv1.bias, refiner.bn1)
        self.conv2 = _folded(_as_convolution(refiner.convT2), refiner.convT2.bias, refiner.bn2)
        self.conv3 = _folded(_as_convolution(refiner.convT3), refiner.convT3.bias, refiner.bn3)
        self.skip = refiner.skip

    def forward(self, s1: Tensor) -> Tensor:
        """(n, c, S, S) -> (n, 8c, S/2, S/2)."""
        x = self.conv3(self.conv2(self.conv1(s1).relu()).relu()).relu()
        # The skip is linear and local: pooled first, it costs a quarter; its bias must be pooled with the border.
        pooled = functional.avg_pool2d(x, 4, 2, 1)
        bias = self.skip.bias
        linear = functional.conv2d(functional.avg_pool2d(s1, 4, 2, 1), self.skip.weight)
        share = functional.avg_pool2d(torch.ones_like(s1[:1, :1]), 4, 2, 1)
        return pooled + linear + share * bias[:, None, None]  # type: ignore[index]


class FoldedRasaLore(nn.Module):
    """A trained network, ready to detect: everything that does not depend on the picture is computed once."""

    def __init__(self, network: RasaLore) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.refiner = FoldedRefiner(network.refiner)
        constants = rasa_constants(network.rasa)
        for name, value in constants._asdict().items():
            self.register_buffer(name, value.detach(), persistent=False)

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Output:
        """pictures: (n, 1, S, S)."""
        net = self.network
        s1 = net.stage1(pictures)
        embedding = net.stage4(functional.max_pool2d(net.stage3(net.stage2(s1)), 2))
        tokens = self.refiner(s1).flatten(2).transpose(1, 2)
        constants = RasaConstants(*(self.get_buffer(name) for name in RasaConstants._fields))
        codes = rasa_codes(net.rasa, constants, tokens)
        return net.told(decode(net.decoder, embedding, codes), codes, embedding)


def _as_convolution(transposed: nn.ConvTranspose2d) -> Tensor:
    """The kernel (out, in, 3, 3) of the convolution that equals a transposed one of stride 1, padding 1."""
    return transposed.weight.transpose(0, 1).flip(2, 3)


@torch.no_grad()
def _folded(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A 3x3 convolution followed by a batch norm in evaluation mode, as one convolution."""
    assert bias is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight * (norm.running_var + norm.eps).rsqrt()
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, dtype=weight.dtype)
    conv.weight.copy_(weight * gain[:, None, None, None])
    conv.bias.copy_(norm.bias + gain * (bias - norm.running_mean))  # type: ignore[union-attr]
    return conv.to(weight.device).requires_grad_(False)
