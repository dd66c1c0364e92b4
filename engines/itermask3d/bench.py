"""python -m engines.itermask3d.bench MODEL VOLUME: plain network, exact rewrites and fast mode, side by side.

Time of one pass and of the whole volume, work of one pass, peak memory of the process so far (hence the cheapest comes
first), and the Dice of the final mask with that of the exact mode.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from engines.errors import KnownError
from engines.files import read_volume
from engines.itermask3d.engine import IterMask3d
from engines.itermask3d.fast import FORMS, FastUNet3d, brain_box
from engines.itermask3d.network import UNet3d, channels_last
from engines.itermask3d.preparation import Grid, prepare
from engines.itermask3d.settings import MODES, Mode
from engines.metrics import dice


@dataclass(frozen=True, slots=True)
class Row:
    """One way of doing it; seconds, passes and mask only where the whole volume was run."""

    name: str
    pass_seconds: float
    pass_gflop: float
    peak_mb: int
    seconds: float = float("nan")
    passes: int = 0
    mask: NDArray[np.bool_] | None = None


def forms(engine: IterMask3d, grid: Grid) -> list[Row]:
    """One pass of each form of the network, with and without the brain's box, on the engine's device."""
    where = engine.device.torch
    brain = torch.from_numpy(grid.brain)
    shown = torch.zeros(1, 2, *engine.settings.size, device=where).to(memory_format=torch.channels_last_3d)
    plain = UNet3d(engine.settings.width).eval()
    rows = []
    for form in FORMS:
        fast = channels_last(FastUNet3d(plain, form)).to(where)
        rows.append(_one_pass(f"{form}, brain's box", fast, lambda net: net(shown, brain_box(brain))))
        rows.append(_one_pass(f"{form}, folded", fast, lambda net: net(shown)))
    rows.append(_one_pass("as trained", channels_last(plain).to(where), lambda net: net(shown)))
    return rows


def whole(engine: IterMask3d, grid: Grid, mode: Mode) -> Row:
    """Phase A and phase B of one prepared volume."""
    engine.settings = replace(engine.settings, mode=mode)
    calls: list[int] = []
    started = time.perf_counter()
    found = engine.search(grid, lambda *_: calls.append(1))
    seconds = time.perf_counter() - started
    passes = len(calls) - 1  # each pass reports once, and the end
    mask = found.shrunk.masks[-1].cpu().numpy()
    return Row(f"{mode} mode", seconds / passes, float("nan"), _peak_mb(), seconds, passes, mask)


@torch.no_grad()
def _one_pass(name: str, network: nn.Module, run: Callable[[nn.Module], Tensor]) -> Row:
    with FlopCounterMode(display=False) as counter:
        run(network)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        float(run(network).sum())  # waits for a GPU
        times.append(time.perf_counter() - started)
    return Row(name, min(times), counter.get_total_flops() / 1e9, _peak_mb())


def _peak_mb() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() >> 20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 known trouble told in one line."""
    parser = argparse.ArgumentParser(prog="python -m engines.itermask3d.bench", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("volume", type=Path)
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    chosen = parser.parse_args(arguments)
    try:
        engine = IterMask3d(chosen.model, chosen.device)
        started = time.perf_counter()
        grid = prepare(read_volume(chosen.volume), engine.settings)
        preparing = time.perf_counter() - started
    except KnownError as error:
        print(f"bench: {error}", file=sys.stderr)  # noqa: T201
        return 1
    runs = [whole(engine, grid, mode) for mode in reversed(MODES)]
    lines = [
        f"{engine.device.title}; preparation {preparing:.1f} s",
        "| | s a pass | GFLOP a pass | peak MB | passes | s | Dice |",
    ]
    lines.append("|" + "---|" * 7)
    for row in [*runs, *forms(engine, grid)]:
        same = dice(row.mask, runs[1].mask) if row.mask is not None and runs[1].mask is not None else float("nan")
        lines.append(
            f"| {row.name} | {row.pass_seconds:.2f} | {row.pass_gflop:.1f} | {row.peak_mb} | {row.passes or '-'} "
            f"| {row.seconds:.1f} | {same:.3f} |"
        )
    print("\n".join(lines).replace("nan", "-"))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
