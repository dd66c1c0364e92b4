"""The networks of a model package: the network's own tensors, and those of the slice classifier under "slices."."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from engines.errors import BadModel
from engines.rasalore.network import RasaLore
from engines.rasalore.settings import Settings
from engines.rasalore.slice_probability import SliceProbability
from engines.rasalore.training import new_network

SLICES = "slices."
COUNTER = "num_batches_tracked"  # of batch norms; says nothing


def gathered(network: nn.Module, slices: SliceProbability | None) -> dict[str, Tensor]:
    """What a package holds."""
    own = dict(network.state_dict())
    seen = slices.state_dict() if slices else {}
    return {**own, **{SLICES + key: value for key, value in seen.items() if not key.endswith(COUNTER)}}


def restored(settings: Settings, weights: Mapping[str, Any], model: str) -> tuple[RasaLore, SliceProbability | None]:
    """The inverse of gathered; raises BadModel where something does not fit."""
    network = new_network(settings)
    slices = SliceProbability() if settings.slice_factor == "encoder" else None
    tensors = {key: torch.from_numpy(value) for key, value in weights.items()}
    try:
        network.load_state_dict({key: value for key, value in tensors.items() if not key.startswith(SLICES)})
        if slices:
            own = {key.removeprefix(SLICES): value for key, value in tensors.items() if key.startswith(SLICES)}
            counters = {key: value for key, value in slices.state_dict().items() if key.endswith(COUNTER)}
            slices.load_state_dict({**counters, **own})
    except (RuntimeError, ValueError) as error:
        raise BadModel(f"The weights of '{model}' do not fit its settings.", "Train or add the model again.") from error
    return network, slices
