"""The training loop every engine shares: steps, averaged weights, checkpoints, resume after a kill, cancel.

It knows nothing of a method: the engine hands over its modules, its optimisers and a `step` function.
Checkpoints are safetensors, written to a temporary file and renamed, so a kill at any moment leaves a whole one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engines.contract import Report, silent

CHECKPOINT = "checkpoint.safetensors"
Step = Callable[[int], Mapping[str, float]]
"""step(iteration) -> named losses; one optimisation step."""


@dataclass(slots=True)
class TrainingState:
    """All that changes during training, so that a checkpoint can hold it.

    averaged: name -> module that follows the module of the same name in `modules` (exponential moving average).
    random: the generator that every random number of the training comes from.
    best: the best validation value so far and the averaged weights that had it.
    """

    modules: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]
    random: torch.Generator
    averaged: dict[str, nn.Module] = field(default_factory=dict)
    iteration: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best_value: float = float("-inf")
    best: dict[str, Tensor] = field(default_factory=dict)


def train(
    state: TrainingState,
    step: Step,
    iterations: int,
    folder: Path,
    *,
    checkpoint_every: int,
    resume: bool = False,
    ema: float = 0.0,
    rate: Callable[[int], float] = lambda _: 1.0,
    validate: Callable[[], float] | None = None,
    best_of: str = "",
    best_from: int = 0,
    report: Report = silent,
) -> None:
    """Run `step` up to `iterations`; every `checkpoint_every` validate, remember the best and write a checkpoint.

    rate(iteration): factor on each optimiser's own learning rate. best_of: the module whose averaged weights (or
    plain ones without an average) are kept in state.best when `validate` rises, from the iteration `best_from` on: the
    figure of a network that has hardly learned is luck.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if resume and (folder / CHECKPOINT).exists():
        load_checkpoint(state, folder / CHECKPOINT)
    rates = {name: [group["lr"] for group in optimiser.param_groups] for name, optimiser in state.optimisers.items()}
    started, before = time.monotonic(), state.seconds
    sums: dict[str, float] = {}
    since = 0
    while state.iteration < iterations:
        for name, optimiser in state.optimisers.items():
            for group, full in zip(optimiser.param_groups, rates[name], strict=True):
                group["lr"] = full * rate(state.iteration)
        for key, value in step(state.iteration).items():
            sums[key] = sums.get(key, 0.0) + value
        since += 1
        state.iteration += 1
        state.seconds = before + time.monotonic() - started
        _follow(state, ema)
        due = state.iteration % checkpoint_every == 0 or state.iteration == iterations
        if due:
            row = {"iteration": float(state.iteration), **{key: value / since for key, value in sums.items()}}
            sums, since = {}, 0
            if validate is not None:
                row["validation"] = validate()
                if row["validation"] > state.best_value and state.iteration >= best_from:
                    source = state.averaged.get(best_of) or state.modules[best_of]
                    state.best_value = row["validation"]
                    state.best = {key: value.detach().clone() for key, value in source.state_dict().items()}
            state.history.append(row)
            save_checkpoint(state, folder / CHECKPOINT, rates)
        shown = state.history[-1] if state.history else {}
        text = "  ".join(f"{key} {value:.3g}" for key, value in shown.items() if key != "iteration")
        report(state.iteration, iterations, text or "training")


def linear_decay(iterations: int) -> Callable[[int], float]:
    """Full rate over the first half, then a straight line to zero."""
    return lambda iteration: min(1.0, 2.0 * (1.0 - iteration / iterations))


def decayed(decay: str, iterations: int) -> Callable[[int], float]:
    """linear_decay for "linear", else the full rate throughout."""
    return linear_decay(iterations) if decay == "linear" else lambda _: 1.0


def averaged_copy(module: nn.Module, make: Callable[[], nn.Module]) -> nn.Module:
    """A second module from `make` with the same weights, to follow the first one."""
    copy = make()
    copy.load_state_dict(module.state_dict())
    return copy.requires_grad_(False)


@torch.no_grad()
def _follow(state: TrainingState, decay: float) -> None:
    # The early average is dominated by the random start unless it follows faster there.
    decay = min(decay, (1 + state.iteration) / (10 + state.iteration))
    for name, average in state.averaged.items():
        pairs = zip(average.parameters(), state.modules[name].parameters(), strict=True)
        for slow, fast in pairs:
            slow.lerp_(fast.to(slow.dtype), 1 - decay)
        # Running statistics of a batch norm are averages already.
        for kept, current in zip(average.buffers(), state.modules[name].buffers(), strict=True):
            kept.copy_(current)


def save_checkpoint(state: TrainingState, path: Path, rates: Mapping[str, list[float]] | None = None) -> None:
    """Everything in `state` to one file, atomically."""
    tensors: dict[str, Tensor] = {"random": state.random.get_state()}
    for kind, modules in (("module", state.modules), ("average", state.averaged)):
        for name, module in modules.items():
            tensors |= {f"{kind}.{name}.{key}": value for key, value in module.state_dict().items()}
    tensors |= {f"best.{key}": value for key, value in state.best.items()}
    for name, optimiser in state.optimisers.items():
        for index, values in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{name}.{index}.{key}": torch.as_tensor(value) for key, value in values.items()}
    facts = {
        "iteration": state.iteration,
        "seconds": state.seconds,
        "history": state.history,
        "best_value": state.best_value if state.best else None,
        "rates": dict(rates or {}),
    }
    temporary = path.with_suffix(".writing")
    plain = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    save_file(plain, temporary, metadata={"facts": json.dumps(facts)})
    temporary.replace(path)


def load_checkpoint(state: TrainingState, path: Path) -> None:
    """Put `state` back to where save_checkpoint found it."""
    from safetensors import safe_open

    tensors = load_file(path)
    with safe_open(path, framework="pt") as opened:
        facts: dict[str, Any] = json.loads(opened.metadata()["facts"])
    state.random.set_state(tensors["random"])
    for kind, modules in (("module", state.modules), ("average", state.averaged)):
        for name, module in modules.items():
            module.load_state_dict(_under(tensors, f"{kind}.{name}."))
    state.best = _under(tensors, "best.")
    for name, optimiser in state.optimisers.items():
        whole = optimiser.state_dict()
        for key, value in _under(tensors, f"optimiser.{name}.").items():
            index, _, field_name = key.partition(".")
            whole["state"].setdefault(int(index), {})[field_name] = value
        optimiser.load_state_dict(whole)
    state.iteration, state.seconds, state.history = facts["iteration"], facts["seconds"], facts["history"]
    state.best_value = float("-inf") if facts["best_value"] is None else facts["best_value"]


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
