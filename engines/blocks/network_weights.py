"""The weights of several networks in one file, each under its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from engines.errors import BadModel

COUNTER = "num_batches_tracked"


def gathered(networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Tensors of all networks by "name.key"; the counters of batch norms say nothing and are left out."""
    return {
        f"{name}.{key}": value
        for name, network in networks.items()
        for key, value in network.state_dict().items()
        if not key.endswith(COUNTER)
    }


def restore(networks: Mapping[str, nn.Module], weights: Mapping[str, Any], model: str) -> None:
    """The inverse of gathered, into networks that are frozen then; raises BadModel where something does not fit."""
    for name, network in networks.items():
        own = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
        try:
            result = network.load_state_dict({key: torch.from_numpy(value) for key, value in own.items()}, strict=False)
        except RuntimeError as error:
            raise _misfit(model) from error
        if result.unexpected_keys or any(not key.endswith(COUNTER) for key in result.missing_keys):
            raise _misfit(model)
        network.eval().requires_grad_(False)


def _misfit(model: str) -> BadModel:
    return BadModel(f"The weights of '{model}' do not fit its settings.", "Train or add the model again.")
