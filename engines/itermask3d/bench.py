"""Plain network, exact rewrites and fast mode, side by side.

    python -m engines bench itermask3d                      the bundled model on a made-up brain
    python -m engines.itermask3d.bench MODEL VOLUME         any model on any scan

Time of one pass and of the whole volume by the clock and of the processor, work of one pass, peak memory of the process
so far (hence the cheapest comes first), and the Dice of the final mask with that of the exact mode.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from engines.errors import KnownError
from engines.files import read_volume
from engines.itermask3d.engine import IterMask3d
from engines.itermask3d.fast import FORMS, FastUNet3d, brain_box
from engines.itermask3d.graphed import Recorded
from engines.itermask3d.network import UNet3d, channels_last
from engines.itermask3d.preparation import Grid, prepare
from engines.itermask3d.settings import MODES, Mode, Settings
from engines.metrics import dice

BUNDLED = Path(__file__).parents[2] / "resources" / "models" / "itermask3d-t1"


@dataclass(frozen=True, slots=True)
class Row:
    """One way of doing it; seconds, passes and mask only where the whole volume was run."""

    name: str
    pass_seconds: float
    pass_cpu_seconds: float
    pass_gflop: float
    peak_mb: int
    seconds: float = float("nan")
    cpu_seconds: float = float("nan")
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
        rows.append(_one_pass(f"{form}, brain's box", partial(fast, shown, brain_box(brain))))
        rows.append(_one_pass(f"{form}, folded", partial(fast, shown)))
        if where.type == "cuda":
            rows.append(_one_pass(f"{form}, CUDA graph", partial(Recorded(fast, shown), shown)))
    rows.append(_one_pass("as trained", partial(channels_last(plain).to(where), shown)))
    return rows


def whole(engine: IterMask3d, grid: Grid, mode: Mode) -> Row:
    """Phase A and phase B of one prepared volume."""
    engine.settings = replace(engine.settings, mode=mode)
    calls: list[int] = []
    started, busy = time.perf_counter(), time.process_time()
    found = engine.search(grid, lambda *_: calls.append(1))
    seconds, cpu = time.perf_counter() - started, time.process_time() - busy
    passes = len(calls) - 1  # each pass reports once, and the end
    mask = found.shrunk.masks[-1].cpu().numpy()
    nan = float("nan")
    return Row(f"{mode} mode", seconds / passes, cpu / passes, nan, _peak_mb(), seconds, cpu, passes, mask)


@torch.no_grad()
def _one_pass(name: str, run: Callable[[], Tensor]) -> Row:
    with FlopCounterMode(display=False) as counter:
        run()
    times = []
    for _ in range(3):
        started, busy = time.perf_counter(), time.process_time()
        float(run().sum())  # waits for a GPU
        times.append((time.perf_counter() - started, time.process_time() - busy))
    seconds, cpu = (min(column) for column in zip(*times, strict=True))
    # A recording hides its work from the counter.
    return Row(name, seconds, cpu, counter.get_total_flops() / 1e9 or float("nan"), _peak_mb())


def _peak_mb() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() >> 20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def made_up(settings: Settings) -> Grid:
    """A smooth ellipsoid brain with a dark ball in it, as large as a head on this grid."""
    random = np.random.default_rng(0)
    axes = np.stack(np.meshgrid(*(np.linspace(-1.1, 1.1, n) for n in settings.size), indexing="ij"))
    brain = np.square(axes).sum(0) < 1
    texture = ndimage.gaussian_filter(random.normal(size=settings.size), 2)
    dark = np.square(axes - 0.3).sum(0) < 0.04
    head = np.where(brain, np.where(dark, 0.2, 0.5 + 0.1 * texture / texture.std()), 0).clip(0, 1)
    return Grid(head.astype(np.float32), brain, brain, ("made up",), np.eye(4))


def table(engine: IterMask3d, grid: Grid) -> list[Row]:
    """Both modes of the engine, then one pass of each form of the network."""
    return [*(whole(engine, grid, mode) for mode in reversed(MODES)), *forms(engine, grid)]


def facts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as plain values, those that are known."""
    exact = next(row.mask for row in rows if row.name == "exact mode")
    assert exact is not None
    told = []
    for row in rows:
        same = dice(exact, row.mask) if row.mask is not None else float("nan")
        values = {
            "what": row.name, "s a pass": row.pass_seconds, "CPU s a pass": row.pass_cpu_seconds,
            "GFLOP a pass": row.pass_gflop, "peak MB": row.peak_mb, "passes": row.passes or float("nan"),
            "s": row.seconds, "CPU s": row.cpu_seconds, "Dice with exact": same,
        }  # fmt: skip
        told.append({key: round(value, 3) if isinstance(value, float) else value for key, value in values.items()})
    return [{key: value for key, value in row.items() if value == value} for row in told]  # noqa: PLR0124 - NaN


def bench(device: str = "auto") -> list[dict[str, Any]]:
    """The bundled model on a made-up brain, which takes about as many passes as a scan."""
    engine = IterMask3d(BUNDLED, device)
    return facts(table(engine, made_up(engine.settings)))


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
        print(f"{engine.device.title}; preparation {time.perf_counter() - started:.1f} s")  # noqa: T201
    except KnownError as error:
        print(f"bench: {error}", file=sys.stderr)  # noqa: T201
        return 1
    told = facts(table(engine, grid))
    heads = list(told[0] | told[-1])
    lines = [heads, ["---"] * len(heads), *([str(row.get(head, "-")) for head in heads] for row in told)]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
