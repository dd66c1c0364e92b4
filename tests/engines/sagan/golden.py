"""Closed-form weights and inputs of the golden numbers, so that no checkpoint and no random generator is needed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

VALUES = json.loads((Path(__file__).parents[1] / "golden" / "sagan.json").read_text())


def wave(name: str, t: int, count: int) -> np.ndarray:
    """Value formula s of tensor number t: a sine (sagan_lin) or a chirp (sagan_chirp)."""
    i = np.arange(count, dtype=np.int64)
    if name == "sagan_lin":
        return np.sin(0.7 * (i % 1009) + 1.3 * t + 0.1)
    j = (i + 101 * t) % 1009
    return np.sin(2 * np.pi * ((37 * j * j + 11 * j) % 1009) / 1009 + 1.3 * t + 0.1)


def fill(network: nn.Module, name: str) -> None:
    """Set every parameter, in the order of registration (the order of the published checkpoints)."""
    for t, (key, parameter) in enumerate(network.named_parameters()):
        s = wave(name, t, parameter.numel()).reshape(parameter.shape)
        if parameter.ndim == 4:
            values = s * np.sqrt(2 * parameter.shape[0] / parameter.numel())
        elif key.endswith("bias"):
            values = 0.1 * s
        else:
            values = 1 + 0.1 * s
        parameter.data = torch.from_numpy(values).to(parameter.dtype)


def pictures(size: int = 64) -> torch.Tensor:
    """(2, 1, S, S) float64."""
    b, r, c = np.meshgrid(np.arange(2.0), np.arange(float(size)), np.arange(float(size)), indexing="ij")
    return torch.from_numpy(0.8 * np.sin(0.15 * r + 0.3 * b) * np.cos(0.11 * c - 0.2 * b))[:, None]
