"""P(slice shows a lesion) from a frozen image network: the slice factor of the score where DDPT is not at hand.

The published pair of stages would ask DDPT; a model that must work alone carries this instead. A linear classifier
looks at the mean of each feature over the brain. It learns from slice labels only. Part of the package's weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from engines.blocks.slice_encoder import TO_STRIDE_32, Backbone, SliceEncoder, load_encoder
from engines.contract import Report, silent
from engines.device import Device, run_chunked

Maps = NDArray[np.float32]
Bools = NDArray[np.bool_]

BACKBONE: Backbone = "efficientnet_lite0"
SIDE = 224  # what the network saw in its own training
REGULARISATION = 0.03  # of the logistic regression, chosen by cross-validation over training subjects (README)
CHUNK = 8
LEAST_DEVIATION = 1e-4  # of a feature; one that never changes says nothing


class SliceProbability(nn.Module):
    """Logits of slices: frozen features, one linear layer."""

    def __init__(self, encoder: SliceEncoder | None = None) -> None:
        super().__init__()
        self.encoder = encoder or SliceEncoder(BACKBONE, TO_STRIDE_32)
        width = sum(self.encoder.channels[1:])
        # Standardised first: the classifier's own weights would not bear half precision.
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.linear = nn.Linear(width, 1)
        self.eval().requires_grad_(False)

    def forward(self, features: Tensor) -> Tensor:
        """Features (n, C) -> logits (n,)."""
        logits: Tensor = self.linear((features - self.get_buffer("mean")) / self.get_buffer("deviation"))
        return logits[:, 0]

    @torch.no_grad()
    def features(self, pictures: Tensor, foreground: Tensor) -> Tensor:
        """Slices (n, h, w) in -1..1 and their brain (n, h, w) -> their means (n, C)."""
        shown = functional.interpolate(pictures[:, None], (SIDE, SIDE), mode="bilinear")[:, 0]
        found = []
        for level in self.encoder(shown)[1:]:
            inside = functional.interpolate(foreground[:, None].float(), level.shape[2:], mode="area") > 0.5
            found.append((level * inside).sum((2, 3)) / inside.sum((2, 3)).clamp(min=1))
        return torch.cat(found, 1)


def slice_features(
    model: SliceProbability, pictures: Maps, foreground: Bools, device: Device, report: Report = silent
) -> Tensor:
    """Features of a volume's slices, a few at a time: (n, C) on the CPU."""

    def work(part: Tensor, where: str) -> Tensor:
        model.to(where)
        return model.features(part[:, 0].to(where), part[:, 1].to(where)).cpu()

    both = torch.stack([torch.from_numpy(pictures), torch.from_numpy(foreground.astype(np.float32))], 1)
    found = run_chunked(work, both, CHUNK, device, report, "looking at whole slices")
    return torch.cat(found.outputs)


def fitted(features: Sequence[Tensor], labels: Sequence[Bools], model: SliceProbability) -> SliceProbability:
    """Teach the linear layer which slices are labelled."""
    from sklearn.linear_model import LogisticRegression

    seen, known = torch.cat(list(features)), np.concatenate(list(labels))
    model.get_buffer("mean").copy_(seen.mean(0))
    model.get_buffer("deviation").copy_(seen.std(0).clamp(min=LEAST_DEVIATION))
    standardised = (seen - model.get_buffer("mean")) / model.get_buffer("deviation")
    regression: Any = LogisticRegression(C=REGULARISATION, max_iter=300, class_weight="balanced")
    regression.fit(standardised.numpy(), known)
    model.linear.weight.copy_(torch.from_numpy(regression.coef_))
    model.linear.bias.copy_(torch.from_numpy(regression.intercept_))
    return model


def new_model(weights: str = "") -> SliceProbability:
    """An untaught model on the ImageNet weights of the optional package, or of the user's file."""
    return SliceProbability(load_encoder(BACKBONE, weights, TO_STRIDE_32)[0])
