"""The memory covers what is rare, and distances are those to its nearest member."""

from __future__ import annotations

import pytest
import torch

from engines.blocks.place_memory import coreset, distances
from engines.blocks.slab_features import Slabs
from engines.device import choose
from engines.errors import BadInput
from engines.patchcore.settings import Settings


def silent(*_: object) -> None:
    """Nobody listens."""


def test_coreset_keeps_the_rare_places() -> None:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(500, 8, generator=random)
    features[[3, 77, 401]] += torch.tensor([[40.0], [-40.0], [80.0]])
    chosen = coreset(features, 6, 0, random, silent).tolist()
    assert {3, 77, 401} <= set(chosen)
    assert len(set(chosen)) == 6


def test_coreset_is_the_greedy_one() -> None:
    line = torch.tensor([[0.0], [1.0], [2.0], [9.0], [10.0]])
    chosen = coreset(line, 3, 0, torch.Generator().manual_seed(1), silent)
    first = int(chosen[0])
    second = max(range(5), key=lambda i: abs(line[i, 0] - line[first, 0]))
    third = max(range(5), key=lambda i: min(abs(line[i, 0] - line[first, 0]), abs(line[i, 0] - line[second, 0])))
    assert chosen.tolist() == [first, second, third]


def test_projection_chooses_about_as_well() -> None:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(800, 100, generator=random)

    def cover(indices: torch.Tensor) -> float:
        return torch.cdist(features, features[indices]).amin(1).max().item()

    plain, projected = (cover(coreset(features, 50, size, random, silent)) for size in (0, 40))
    assert projected < 1.15 * plain


def test_distance_to_the_nearest_and_zero_outside() -> None:
    random = torch.Generator().manual_seed(0)
    memory = torch.randn(7, 5, generator=random)
    features = torch.randn(2, 5, 3, 4, generator=random)
    inside = torch.ones(2, 3, 4, dtype=torch.bool)
    inside[0, 0] = False
    found = distances(memory, Slabs(features, torch.zeros(2), inside), True, choose("cpu"), silent)
    expected = min((features[1, :, 2, 3] - one).norm().item() for one in memory)
    assert found[1, 2, 3].item() == pytest.approx(expected, rel=1e-5)
    assert (found[0, 0] == 0).all()
    assert (found[inside] > 0).all()


def test_settings_refuse_a_memory_larger_than_its_candidates() -> None:
    with pytest.raises(BadInput, match="candidates"):
        Settings(candidates=10, memory=20)
