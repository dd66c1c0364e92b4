"""The losses of dual prompt tuning (Xing et al., section III; alternation as in RASALoRE's first stage)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from engines.ddpt.network import Glance

SMALL = 1e-8
IMAGE_WEIGHT = 0.1  # of the prompted image in the first part of training, when the texts are learned


def cosine_logits(features: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Features (b, embedding) and texts (2, embedding) of any length -> logits (b, 2)."""
    return scale * functional.normalize(features, dim=-1) @ functional.normalize(texts, dim=-1).T


def text_phase(logits: Tensor, zero_shot: Tensor, written: Tensor, labels: Tensor) -> Tensor:
    """First epochs: CE of the unprompted image with the learned texts (zero_shot), of the prompted image with the
    written texts, and a tenth of the prompted image with the learned ones. All logits: (b, 2).
    """  # noqa: D205 - one sentence
    image = functional.cross_entropy(logits, labels)
    return (
        functional.cross_entropy(zero_shot, labels) + functional.cross_entropy(written, labels) + IMAGE_WEIGHT * image
    )


def auxiliary_loss(glance: Glance, labels: Tensor) -> Tensor:
    """The class-aware prompt of the true class must tell its class."""
    own = glance.auxiliary[torch.arange(len(labels), device=labels.device), labels]  # (b, 2)
    return functional.cross_entropy(own, labels)


def attention_loss(attention: Tensor, lesion: Tensor) -> Tensor:
    """KL(lesion || attention) of each slice, both made to sum to 1 over the places: (b, places) each -> (b,).

    lesion: share of each place that a reader's mask covers (area-pooled); not 0 everywhere. RASALoRE spec, section g.
    """
    wanted = lesion / lesion.sum(1, keepdim=True).clamp(min=SMALL)
    given = attention / attention.sum(1, keepdim=True).clamp(min=SMALL)
    return (torch.xlogy(wanted, wanted) - wanted * given.clamp(min=SMALL).log()).sum(1)


def places_loss(log_odds: Tensor, wanted: Tensor, inside: Tensor) -> Tensor:
    """Divergence of Bernoulli(wanted) from what is said of each place, mean over the brain: (b, places) each -> (b,).

    0 where every place says what is wanted (0..1). inside: share of brain of each place.
    """
    entropy = -torch.xlogy(wanted, wanted) - torch.xlogy(1 - wanted, 1 - wanted)
    apart = functional.binary_cross_entropy_with_logits(log_odds, wanted, reduction="none") - entropy
    return (apart * inside).sum(1) / inside.sum(1).clamp(min=SMALL)
