"""What SimpleSliceNet costs: the published form of each part against ours, in one run and on one made-up volume."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from engines import device as devices
from engines.blocks.patch_features import aggregate, feature_size, pool_slices
from engines.blocks.place_memory import distances
from engines.blocks.slab_features import CHUNK, Slabs
from engines.blocks.slice_encoder import TO_STRIDE_16, TO_STRIDE_32, random_encoder
from engines.contract import silent
from engines.simpleslicenet.inference import ROWS
from engines.simpleslicenet.settings import Settings
from engines.simpleslicenet.training import condition, new_flow

SLICES = 96


def bench(device: str = "auto", settings: Settings | None = None) -> list[dict[str, Any]]:
    """Seconds, FLOPs, FLOP/s and peak memory of features, flow, both together and distances for SLICES slices.

    The small forms come first, since the peak memory of a process never falls.
    """
    settings = settings or Settings()
    chosen = devices.choose(device)
    torch.manual_seed(0)
    pictures = torch.rand(SLICES, settings.size, settings.size) * 2 - 1
    encoder = random_encoder(settings.backbone, 0, TO_STRIDE_16).to(chosen.torch)
    whole = random_encoder(settings.backbone, 0, TO_STRIDE_32).to(chosen.torch)
    width = feature_size(encoder.channels[1:3], settings.features)
    flow = new_flow(settings, width).to(chosen.torch).requires_grad_(False)
    memory = torch.randn(settings.memory, width)
    kept: dict[str, Tensor] = {}

    def features(part: int, cut: bool, closed: bool) -> Tensor:
        found = []
        for piece in pictures.split(part):
            maps = (encoder if cut else whole)(piece.to(chosen.torch))
            form = aggregate if closed else unfolded
            found.append(form(maps[1], maps[2], settings.features))
        kept["slabs"] = pool_slices(torch.cat(found), settings.slices, settings.slices)
        return kept["slabs"]

    def apart() -> Tensor:
        inside = torch.ones(kept["slabs"][:, 0].shape, dtype=torch.bool)
        slabs = Slabs(kept["slabs"], torch.zeros(len(inside)), inside)
        return distances(memory, slabs, False, chosen, silent)

    def likelihood(rows: int) -> Tensor:
        slabs = kept["slabs"]
        vectors = slabs.permute(0, 2, 3, 1).reshape(-1, width)
        place = torch.zeros(len(vectors), 3, device=vectors.device)
        parts = zip(vectors.split(rows), place.split(rows), strict=True)
        return torch.cat([flow.log_likelihood(v, condition(p, settings)) for v, p in parts])

    few, many, all_at_once = CHUNK[chosen.name], ROWS[chosen.name], 1 << 30
    fast = [
        _measured("features, fast (cut encoder, closed form, chunks)", lambda: features(few, True, True), chosen),
        _measured(f"flow, fast (chunks of {many})", lambda: likelihood(many), chosen),
        _measured("volume, fast (both)", lambda: (features(few, True, True), likelihood(many))[1], chosen),
        _measured(f"distances to {settings.memory} remembered places (FLOPs not counted)", apart, chosen),
    ]
    # A quarter of the volume at once: all of it needs some gigabytes for the unfolded maps alone.
    plain = [
        _measured("flow, plain (all places at once)", lambda: likelihood(all_at_once), chosen),
        _measured(
            "features, plain (whole encoder, unfolded 9-fold, a quarter of the slices at once)",
            lambda: features(SLICES // 4, False, False),
            chosen,
        ),
    ]
    return [*fast, *plain, _together("volume, plain (the two above)", plain)]


def _together(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Parts done one after the other: sums, and the larger peak."""
    total = {key: round(sum(row[key] for row in rows), 2) for key in ("seconds", "cpu_seconds", "gflop")}
    spent = total["cpu_seconds" if rows[0]["device"].startswith("CPU") else "seconds"]
    return {
        "part": name,
        "device": rows[0]["device"],
        **total,
        "gflop_per_s": round(total["gflop"] / max(spent, 1e-9), 1),
        "peak_mb": max(row["peak_mb"] for row in rows),
    }


def unfolded(fine: Tensor, coarse: Tensor, size: int) -> Tensor:
    """The published aggregation: nine copies of both maps, resized plane by plane, adaptive means of long vectors."""
    levels = []
    for level in (fine, coarse):
        n, c, h, w = level.shape
        planes = functional.unfold(level, 3, padding=1).view(n, c * 9, h, w)
        planes = functional.interpolate(planes, fine.shape[2:], mode="bilinear", align_corners=False)
        vectors = planes.permute(0, 2, 3, 1).reshape(-1, 1, c * 9)
        levels.append(functional.adaptive_avg_pool1d(vectors, size // 2 if size else c)[:, 0])
    n, _, h, w = fine.shape
    return torch.cat(levels, 1).view(n, h, w, -1).permute(0, 3, 1, 2)


@torch.no_grad()
def _measured(name: str, work: Callable[[], Tensor], device: devices.Device) -> dict[str, Any]:
    with FlopCounterMode(display=False) as counter:
        work()
    if device.name == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    started, cpu = time.perf_counter(), time.process_time()
    work()
    if device.name == "cuda":
        torch.cuda.synchronize()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    flops = counter.get_total_flops()
    return {
        "part": name,
        "device": device.title,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "gflop": round(flops / 1e9, 1),
        "gflop_per_s": round(flops / 1e9 / max(cpu if device.name == "cpu" else seconds, 1e-9), 1),
        "peak_mb": devices.peak_mb(device),
    }
