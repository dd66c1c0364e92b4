"""A memory of healthy places: a coreset of their features, and the distance to its nearest member (PatchCore)."""

from __future__ import annotations

import torch
from torch import Tensor

from engines.blocks.feature_store import FeatureStore
from engines.blocks.slab_features import Slabs
from engines.contract import Report
from engines.device import Device, run_chunked

ROWS = 1024  # places at a time: 16 MB of distances to a memory of 4,000
CANDIDATES = 50_000  # random healthy places that a memory is chosen from
PROJECTION = 64  # random directions in which the choice measures distances


def remembered(
    healthy: FeatureStore,
    count: int,
    seed: int,
    report: Report,
    *,
    candidates: int = CANDIDATES,
    projection: int = PROJECTION,
) -> Tensor:
    """Features (count, C) of the healthy places to remember; fewer where there are fewer."""
    random = torch.Generator().manual_seed(seed)
    found, _ = healthy.draw(min(candidates, len(healthy)), len(healthy.features), random)
    return found[coreset(found, count, projection, random, report)]


def coreset(features: Tensor, count: int, projection: int, random: torch.Generator, report: Report) -> Tensor:
    """Indices (count,) of a greedy cover of features (n, C): each next one lies farthest from all before it.

    It keeps rare healthy tissue that a random choice loses (Roth et al., algorithm 1). Distances are measured in
    `projection` random directions, which keep them within some percent (Johnson and Lindenstrauss).
    """
    if projection and projection < features.shape[1]:
        features = features @ torch.randn(features.shape[1], projection, generator=random)
    count = min(count, len(features))
    squares = features.square().sum(1)
    newest = int(torch.randint(len(features), (1,), generator=random))
    chosen, nearest = [newest], torch.full((len(features),), torch.inf)
    while len(chosen) < count:
        if len(chosen) % 100 == 1:
            report(len(chosen), count, "choosing what to remember")
        # |a - b|^2 without a table of differences
        apart = squares + squares[newest] - 2 * (features @ features[newest])
        nearest = torch.minimum(nearest, apart)
        newest = int(nearest.argmax())
        chosen.append(newest)
    report(count, count, "choosing what to remember")
    return torch.tensor(chosen)


def distances(memory: Tensor, slabs: Slabs, foreground: bool, device: Device, report: Report) -> Tensor:
    """Distance of every place to the nearest remembered one, (m, h, w); 0 where it is not asked."""
    rows, _ = slabs.rows()
    wanted = slabs.inside.flatten() if foreground else torch.ones(len(rows), dtype=torch.bool)
    items = rows[wanted]

    def work(part: Tensor, where: str) -> Tensor:
        return torch.cdist(part.to(where), memory.to(where)).amin(1).cpu()

    out = torch.zeros(len(rows))
    if len(items):
        out[wanted] = torch.cat(run_chunked(work, items, ROWS, device, report, "comparing with memory").outputs)
    return out.view(slabs.inside.shape)
