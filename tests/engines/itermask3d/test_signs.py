"""The signs of a corrupted scan, and how far they lie from healthy ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engines.itermask3d.artefacts import corrupted
from engines.itermask3d.healthy_signs import HealthySigns
from engines.itermask3d.preparation import normalised, percentiles
from engines.itermask3d.signs import GROUPS, Signs, air, sharpness
from engines.result import SIGN_NAMES


def head(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A ball of smooth tissue in faint air, and its inner part as the brain."""
    random = torch.Generator().manual_seed(seed)
    away = torch.stack(torch.meshgrid(*[torch.linspace(-1.3, 1.3, 40)] * 3, indexing="ij")).square().sum(0)
    coarse = torch.rand(1, 1, 24, 24, 24, generator=random)
    tissue = 0.4 + 0.4 * torch.nn.functional.interpolate(coarse, (40, 40, 40), mode="trilinear")[0, 0]
    faint = 0.01 * torch.rand(40, 40, 40, generator=random)
    return torch.where(away < 1, tissue, faint), away < 0.8


def seen(volume: torch.Tensor, brain: torch.Tensor, factor: float = 1.0) -> Signs:
    grey = normalised(volume, brain)
    curve = np.log(factor * np.linspace(0.01, 1, 100))
    error = np.log([0.2 * factor])
    return Signs(
        curve, error, percentiles(grey[brain]).numpy(), sharpness(grey, brain), air(volume, brain), np.log([0.3])
    )


@pytest.fixture(scope="module")
def healthy() -> HealthySigns:
    return HealthySigns.measured([seen(*head(seed), 1 + 0.02 * seed) for seed in range(8)], 0.1)


def test_a_clean_scan_is_usual_and_each_fault_moves_its_sign(healthy: HealthySigns) -> None:
    volume, brain = head(20)
    clean = healthy.distances(seen(volume, brain))
    assert max(clean.values()) < 3
    for kind, sign in (("gibbs", "sharpness"), ("blur", "sharpness"), ("noise", "air"), ("spike", "air")):
        spoiled = seen(corrupted(volume, kind, 0.5, 3), brain)
        away = healthy.distances(spoiled)
        assert away[sign] > 3 + clean[sign], kind
        assert healthy.distance(spoiled) > healthy.distance(seen(volume, brain)), kind
    assert healthy.distances(seen(corrupted(volume, "missing_top", 0.5, 3), brain))["grey"] > 3
    for factor in (0.1, 10.0):  # filled in too well, as a blurred scan is, or too badly
        away = healthy.distances(seen(volume, brain, factor))
        assert min(away["curve"], away["error"]) > 3


def test_a_stripped_scan_has_no_air_and_loses_nothing_else(healthy: HealthySigns) -> None:
    volume, brain = head(21)
    stripped = seen(torch.where(brain, volume, 0.0), brain)
    assert np.isnan(stripped.air).all()
    away = healthy.distances(stripped)
    assert np.isnan(away["air"])
    assert np.isfinite(healthy.distance(stripped))
    mixed = HealthySigns.measured([stripped, *(seen(*head(seed)) for seed in range(3))], 0.1)
    assert np.isfinite(mixed.distances(seen(volume, brain))["air"])
    assert np.isnan(HealthySigns.measured([stripped], 0.1).distances(seen(volume, brain))["air"])


def test_a_curve_that_ended_early_counts_as_far_as_it_goes(healthy: HealthySigns) -> None:
    whole = seen(*head(22))
    part = replace(whole, curve=np.where(np.arange(100) < 80, whole.curve, np.nan))
    expected = np.sqrt(np.mean(np.square((whole.curve - healthy.means["curve"]) / healthy.deviations["curve"])[:80]))
    assert healthy.distances(part)["curve"] == pytest.approx(expected)


def test_arrays_there_and_back(healthy: HealthySigns) -> None:
    again = HealthySigns.from_arrays(healthy.to_arrays())
    found = seen(*head(23))
    assert again.distances(found) == healthy.distances(found)
    assert again.gamma == healthy.gamma
    damaged = healthy.to_arrays()
    damaged["itermask3d.grey"] = damaged["itermask3d.grey"][:, :5]
    assert np.isnan(HealthySigns.from_arrays(damaged).distances(found)["grey"])
    assert HealthySigns.from_arrays({}).distance(found) == 0
    assert tuple(GROUPS) == SIGN_NAMES
