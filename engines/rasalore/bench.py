"""What stage 2 costs: the plain network against the folded one, slice by slice and in chunks, in one run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from engines import device as devices
from engines.rasalore.folded import FoldedRasaLore
from engines.rasalore.inference import slices_at_once
from engines.rasalore.network import RasaLore
from engines.rasalore.settings import Settings
from engines.rasalore.training import new_network

SLICES = 8


def bench(device: str = "auto", settings: Settings | None = None, *, published: bool = True) -> list[dict[str, Any]]:
    """Seconds, FLOPs and memory of SLICES slices: default size and published size, folded first.

    The cheaper forms come first, since the peak memory of a process never falls.
    """
    chosen = devices.choose(device)
    rows = []
    sizes = {"default": settings or Settings(), **({"published": Settings.preset("paper")} if published else {})}
    for name, one in sizes.items():
        network = new_network(one).eval().requires_grad_(False)
        pictures = torch.rand(SLICES, 1, one.size, one.size, generator=torch.Generator().manual_seed(0)) * 2 - 1
        plain, folded = network.to(chosen.torch), FoldedRasaLore(network).to(chosen.torch)
        expected: dict[str, Tensor] = {}
        for chunk in dict.fromkeys((1, min(SLICES, slices_at_once(one)))):
            rows.append(_measured(f"{name} size, folded", folded, pictures, chunk, chosen, expected))
        rows.append(_measured(f"{name} size, plain", plain, pictures, 1, chosen, expected))
    return rows


@torch.no_grad()
def _measured(
    name: str,
    network: RasaLore | FoldedRasaLore,
    pictures: Tensor,
    chunk: int,
    device: devices.Device,
    expected: dict[str, Tensor],
) -> dict[str, Any]:
    def work() -> Tensor:
        return torch.cat([network(part.to(device.torch)).logits for part in pictures.split(chunk)])

    with FlopCounterMode(display=False) as counter:
        logits = work()
    # The first form of a size is what the others are compared with.
    reference = expected.setdefault("logits", logits)
    seconds, cpu = _timed(work, device)
    return {
        "part": f"{name}, chunks of {chunk}",
        "device": device.title,
        "seconds a slice": round(seconds / SLICES, 3),
        "cpu_seconds a slice": round(cpu / SLICES, 3),
        "gflop a slice": round(counter.get_total_flops() / 1e9 / SLICES, 2),
        "peak_mb": _peak_mb(device),
        "parameters": sum(p.numel() for p in _plain(network).parameters()),
        "largest difference": f"{float((logits - reference).abs().max() / reference.abs().max()):.1e}",
    }


def _plain(network: RasaLore | FoldedRasaLore) -> RasaLore:
    return network.network if isinstance(network, FoldedRasaLore) else network


def _timed(work: Callable[[], Tensor], device: devices.Device) -> tuple[float, float]:
    if device.name == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    started, cpu = time.perf_counter(), time.process_time()
    work()
    if device.name == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started, time.process_time() - cpu


def _peak_mb(device: devices.Device) -> int:
    if device.name == "cuda":
        return int(torch.cuda.max_memory_allocated() >> 20)
    import resource  # not on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most >> 20 if sys.platform == "darwin" else most >> 10)
