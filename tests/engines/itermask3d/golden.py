"""Closed-form weights and inputs of the golden numbers, so that no checkpoint and no random generator is needed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import torch
from torch import nn

VALUES = json.loads((Path(__file__).parents[1] / "golden" / "itermask3d.json").read_text())
RADIUS = "HF radius"


def wave(t: int, count: int) -> np.ndarray:
    """Value formula s(t, i): a chirp."""
    i = np.arange(count, dtype=np.int64)
    j = (i + 101 * t) % 1009
    return np.sin(2 * np.pi * ((37 * j * j + 11 * j) % 1009) / 1009 + 1.3 * t + 0.1)


def fill(network: nn.Module) -> None:
    """Set every tensor by its role in the golden table."""
    stored = network.state_dict()
    kinds = {"N": lambda s, g: 1 + 0.1 * s, "B": lambda s, g: 0.1 * g * s, "A": lambda s, g: 0.25 + 0.1 * s}
    kinds |= {"RM": lambda s, g: 0.1 * s, "RV": lambda s, g: 1 + 0.3 * s}
    for t, (role, shape, kind, gain) in enumerate(VALUES["unet"]["tensors"]):
        s = wave(t, int(np.prod(shape))).reshape(shape)
        values = gain * s * np.sqrt(2 * shape[0] / s.size) if kind == "W" else kinds[kind](s, gain)
        stored[_name(role)].copy_(torch.from_numpy(values))


def _name(role: str) -> str:
    """The published role, such as down1.bn2.running_mean, as this network's name."""
    stage, level, part, number, field = re.fullmatch(r"(down|up)(\d)\.(conv|bn|prelu)(\d)\.(\w+)", role).groups()
    unit = f"{stage}.{int(level) - 1}.{'first' if number == '1' else 'second'}"
    if (stage, level, number) == ("up", "4", "2"):
        return f"{unit}.{field}"
    return f"{unit}.{dict(conv='conv', bn='norm', prelu='act')[part]}.{field}"


def axes(*shape: int) -> list[np.ndarray]:
    return list(np.meshgrid(*(np.arange(float(n)) for n in shape), indexing="ij"))


def volume(n: int) -> torch.Tensor:
    """Broadband test volume of set 4a: (1, 1, n, n, n) float64."""
    r, c, k = axes(n, n, n)
    i = np.arange(n**3, dtype=np.int64).reshape(n, n, n) % 1009
    x = 0.9 * np.sin(0.21 * r) * np.cos(0.17 * c + 0.3) * np.cos(0.19 * k)
    return torch.from_numpy(x + 0.8 * np.sin(2 * np.pi * ((37 * i * i + 11 * i) % 1009) / 1009))[None, None]


def network_input() -> torch.Tensor:
    """(2, 2, 32, 32, 32) float64 of set 4b."""
    b, ch, r, c, k = axes(2, 2, 32, 32, 32)
    x = np.sin(0.2 * r + 0.5 * b + 0.9 * ch) * np.cos(0.15 * c - 0.3 * ch) * np.cos(0.1 * k + 0.2 * b)
    return torch.from_numpy(x + 0.5 * np.sin(0.007 * r * c + 0.11 * k * (ch + 1)))


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """Volume and brain of set 4d: (1, 1, 32, 32, 32)."""
    r, c, k = axes(32, 32, 32)
    inside = sum(((a + 0.5 - 16) / (f * 32)) ** 2 for a, f in ((r, 0.4), (c, 0.44), (k, 0.42))) < 1
    x = 0.9 * np.sin(0.23 * r + 0.2) * np.cos(0.19 * c) + 0.6 * np.cos(0.27 * k + 0.1 * r)
    x = x + 0.25 * wave(7, 32**3).reshape(r.shape)
    x = x + 1.8 * np.exp(-((r - 20) ** 2 + (c - 13) ** 2 + (k - 18) ** 2) / 8)
    x = np.where(inside, np.clip(x, -3, 3), -3)
    return torch.from_numpy(x)[None, None], torch.from_numpy(inside)[None, None]


def noise(m: int) -> torch.Tensor:
    return torch.from_numpy(np.sqrt(2) * wave(m, 32**3)).reshape(1, 1, 32, 32, 32)
