"""Closed-form weights and inputs of the golden numbers, so that no checkpoint and no random generator is needed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

VALUES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "golden" / "simpleslicenet.json").read_text()
)


def wave(t: int, shape: tuple[int, ...]) -> Tensor:
    """Value formula s of tensor number t: a chirp."""
    j = (np.arange(int(np.prod(shape)), dtype=np.int64) + 101 * t) % 1009
    s = np.sin(2 * np.pi * ((37 * j * j + 11 * j) % 1009) / 1009 + 1.3 * t + 0.1)
    return torch.from_numpy(s.reshape(shape))


def weight(t: int, tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Kind W: a matrix or kernel."""
    return gain * wave(t, tuple(tensor.shape)) * np.sqrt(2 * tensor.shape[0] / tensor.numel())


def fill(network: nn.Module, order: Iterable[str], rename: dict[str, str]) -> None:
    """Set every tensor of a convolutional network, in the published order; rename: parts of the published names."""
    state = network.state_dict()
    for t, role in enumerate(order):
        key = role
        for old, new in rename.items():
            key = key.replace(old, new)
        s = wave(t, tuple(state[key].shape))
        if key.endswith("running_mean"):
            value = 0.1 * s
        elif key.endswith("running_var"):
            value = 1 + 0.3 * s
        elif key.endswith("bias"):
            value = 0.1 * s
        elif state[key].ndim == 4:
            value = weight(t, state[key])
        else:
            value = torch.full_like(s, 0.4) if "bn3" in key else 1 + 0.1 * s
        state[key].copy_(value)


def grid(*sizes: int) -> list[np.ndarray]:
    """Index variables as floats."""
    return list(np.meshgrid(*(np.arange(float(size)) for size in sizes), indexing="ij"))


def check(name: str, tensor: Tensor, expected: dict[str, Any], rel: float = 1e-8) -> None:
    """Compare mean, std, norm and all listed elements of `name`."""
    tensor = tensor.detach()
    seen = 0
    for key, value in expected.items():
        if not key.startswith(name) or key[len(name)] not in ".[":
            continue
        rest = key[len(name) :]
        if rest == ".shape":
            mine: Any = list(tensor.shape)
        elif rest in (".mean", ".std", ".norm", ".max"):
            mine = getattr(tensor, rest[1:])().item()
        elif rest.startswith("["):
            mine = tensor[tuple(int(i) for i in rest[1:-1].split(", "))].item()
        else:
            continue
        seen += 1
        assert mine == pytest.approx(value, rel=rel, abs=1e-11), key
    assert seen, f"nothing golden is called {name}"
