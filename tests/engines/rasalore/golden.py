"""Closed-form weights, inputs and expected values of the golden numbers of stage 2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

VALUES: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / "rasalore.json").read_text())
DISCS = (((118.3, 141.2, 37.5), (121.0, 146.5, 33.2)), ((70.4, 180.1, 21.3), None))
NAMES = {
    "rasa.P": "rasa.place",
    "rasa.out": "rasa.out",
    "rasa.ffn.lin1": "rasa.score.0",
    "rasa.ffn.ln1": "rasa.score.2",
    "rasa.ffn.lin2": "rasa.score.3",
    "rasa.ffn.ln2": "rasa.score.5",
    "rasa.ffn.lin3": "rasa.score.6",
    "dec.P2": "decoder.place",
    "dec.mha.in_proj.": "decoder.attention.in_proj_",
    "dec.mha.out_proj": "decoder.attention.out_proj",
    "dec.convT1": "decoder.up1",
    "dec.convT2": "decoder.up2",
    "dec.conv3": "decoder.last",
    "dec.ln_channels": "decoder.norm",
    "dec.ln_points": "decoder.norm_points",
}
HEADS = {"rasa.q_head": "rasa.query", "rasa.k_head": "rasa.key", "rasa.v_head": "rasa.value"}


def wave(t: int, shape: tuple[int, ...]) -> Tensor:
    """Value formula s of tensor number t: a chirp."""
    j = (np.arange(int(np.prod(shape)), dtype=np.int64) + 101 * t) % 1009
    s = np.sin(2 * np.pi * ((37 * j * j + 11 * j) % 1009) / 1009 + 1.3 * t + 0.1)
    return torch.from_numpy(s.reshape(shape))


def _value(t: int, kind: str, gain: float, shape: tuple[int, ...]) -> Tensor:
    s = wave(t, shape)
    kinds = {
        "W": lambda: gain * s * np.sqrt(2 * shape[0] / np.prod(shape)),
        "N": lambda: 1 + 0.1 * s,
        "B": lambda: 0.1 * gain * s,
        "P": lambda: gain * s,
        "RM": lambda: 0.1 * s,
        "RV": lambda: 1 + 0.3 * s,
    }
    return kinds[kind]()


@torch.no_grad()
def fill(network: nn.Module) -> None:
    """Set every tensor of the network of published size."""
    state = network.state_dict()
    width = state["rasa.location"].shape[1]
    for t, role, kind, gain in VALUES["tensors"]:
        head = next((name for name in HEADS if role.startswith(name)), None)
        if head:
            number, part = role.removeprefix(head).split(".")
            whole = state[f"{HEADS[head]}.{part}"]
            target = whole[int(number) * width : (int(number) + 1) * width]
        else:
            target = state[_renamed(role)]
        target.copy_(_value(t, kind, gain, tuple(target.shape)))
    n, c = np.meshgrid(np.arange(1024.0), np.arange(256.0), indexing="ij")
    state["rasa.location"].copy_(torch.from_numpy(1.2 * np.sin(0.37 * n + 0.61 * c + 0.013 * n * c)))


def _renamed(role: str) -> str:
    for old, new in NAMES.items():
        if role.startswith(old):
            return role.replace(old, new, 1)
    return role


def pictures() -> Tensor:
    """(2, 1, 128, 128) float64, 0..255."""
    b, r, c = _grid(128)
    x = 1 + 0.6 * np.sin(0.15 * r + 0.3 * b) * np.cos(0.11 * c - 0.2 * b) + 0.3 * np.sin(0.013 * r * c + 0.5 * b)
    return torch.from_numpy(127.5 * x)[:, None]


def masks(part: int, side: int = 256) -> Tensor:
    """Discs (2, 1, side, side): part 0 is M_D, part 1 is M_S."""
    _, r, c = _grid(side)
    step = 256 / side
    found = np.zeros(r.shape)
    for b, discs in enumerate(DISCS):
        disc = discs[part]
        if disc is not None:
            row, col, radius = disc
            found[b] = (step * r[b] - row) ** 2 + (step * c[b] - col) ** 2 <= radius**2
    return torch.from_numpy(found)[:, None]


def _grid(side: int) -> list[np.ndarray]:
    return list(np.meshgrid(np.arange(2.0), np.arange(float(side)), np.arange(float(side)), indexing="ij"))


def check(golden: str, name: str, tensor: Tensor, rel: float = 1e-8) -> None:
    """Compare mean, std, norm and all listed elements of `name`."""
    tensor = tensor.detach().double()
    seen = 0
    for key, value in VALUES[golden].items():
        if key.startswith(name + "["):
            mine = tensor[tuple(int(i) for i in key.removeprefix(name)[1:-1].split(", "))].item()
        elif key in (f"{name}.mean", f"{name}.std", f"{name}.norm"):
            mine = getattr(tensor, key.rpartition(".")[2])().item()
        else:
            continue
        seen += 1
        assert mine == pytest.approx(value, rel=rel, abs=rel * tensor.std().item()), key
    assert seen, f"nothing golden is called {name}"
