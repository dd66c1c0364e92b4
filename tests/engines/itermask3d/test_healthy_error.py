"""Errors are judged by what is usual at their place."""

from __future__ import annotations

import numpy as np
import torch

from engines.itermask3d.healthy_error import HealthyError, pooled

SIZE = (48, 48, 48)


def distance() -> torch.Tensor:
    axes = torch.meshgrid(*[torch.linspace(-1, 1, 48)] * 3, indexing="ij")
    return sum(axis.square() for axis in axes).sqrt()


def brain_and_errors() -> list[tuple[torch.Tensor, torch.Tensor]]:
    radius = distance()
    random = torch.Generator().manual_seed(0)
    pairs = []
    for _ in range(4):
        brain = radius < 0.85
        error = torch.where(radius > 0.6, 4.0, 1.0) * torch.rand(radius.shape, generator=random) * 2 * brain
        pairs.append((error, brain))
    return pairs


def measured(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> HealthyError:
    return HealthyError.measured(sum(pooled(*pair) for pair in pairs))


def test_what_is_usual_everywhere_weighs_the_same() -> None:
    pairs = brain_and_errors()
    error, brain = pairs[0]
    weighted = error * measured(pairs).weights(brain)
    rim, core = brain & (distance() > 0.65), distance() < 0.45
    assert error[rim].mean() / error[core].mean() > 3.5
    assert weighted[rim].mean() / weighted[core].mean() < 2
    assert (weighted[~brain] == 0).all()


def test_without_a_measurement_nothing_changes() -> None:
    brain = torch.ones(32, 32, 48, dtype=torch.bool)
    unknown = HealthyError.unknown((32, 32, 48))
    assert torch.allclose(unknown.weights(brain), torch.ones(32, 32, 48))
    assert np.array_equal(HealthyError.from_arrays({}, (32, 32, 48)).map, unknown.map)
    spoiled = {"itermask3d.healthy_error": np.full((8, 8, 12), np.nan)}
    assert np.array_equal(HealthyError.from_arrays(spoiled, (32, 32, 48)).map, unknown.map)


def test_it_comes_back_from_a_package() -> None:
    found = measured(brain_and_errors())
    assert np.array_equal(HealthyError.from_arrays(found.to_arrays(), SIZE).map, found.map)
