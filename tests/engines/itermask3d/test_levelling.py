"""Another scanner's shading is taken off, a lesion is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from engines.errors import BadInput
from engines.itermask3d.levelling import levelled, smooth_field
from engines.itermask3d.settings import Settings

SHAPE = (40, 48, 36)


@pytest.fixture(scope="module")
def brain() -> torch.Tensor:
    axes = torch.meshgrid(*[torch.linspace(-1.2, 1.2, n) for n in SHAPE], indexing="ij")
    return torch.stack(axes).square().sum(0) < 1


@pytest.fixture(scope="module")
def field(brain: torch.Tensor) -> torch.Tensor:
    """Bright at the rim and to one side."""
    x, y, z = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    return (0.8 * x.square() + 0.5 * y - 0.3 * y * z) * brain


def test_a_quadratic_is_found_whatever_a_lesion_does(brain: torch.Tensor, field: torch.Tensor) -> None:
    noise = 0.2 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    lesion = torch.zeros(SHAPE, dtype=torch.bool)
    lesion[8:20, 12:26, 10:22] = True  # a tenth of the brain, ten deviations dark
    found = smooth_field(field + noise - 2.0 * lesion, brain)
    assert 0.08 < float((lesion & brain).sum() / brain.sum()) < 0.15
    assert float((found - field)[brain].abs().max()) < 0.15
    assert not found[~brain].any()


def test_passes_take_off_what_the_network_copies_only_in_part(brain: torch.Tensor, field: torch.Tensor) -> None:
    healthy = torch.where(brain, 0.3 * torch.sin(torch.arange(SHAPE[2]) / 2.0), -3.0)

    def half_copied(shown: torch.Tensor) -> torch.Tensor:
        return (shown + healthy) / 2

    left = []
    for passes in (0, 1, 2, 4):
        volume, taken = levelled(healthy + field, brain, half_copied, passes)
        assert torch.allclose(volume[brain] + taken[brain], (healthy + field)[brain], atol=1e-5)
        assert torch.equal(volume[~brain], healthy[~brain])
        left.append(float((volume - healthy)[brain].std()))
    assert left[1] == pytest.approx(left[0] / 2, rel=0.05)
    assert left[2] == pytest.approx(left[0] / 4, rel=0.05)
    assert left[3] < left[0] / 12


def test_no_pass_changes_nothing_and_needs_no_network(brain: torch.Tensor, field: torch.Tensor) -> None:
    never: Callable[[torch.Tensor], torch.Tensor] = lambda _: pytest.fail("not asked for")  # noqa: E731
    volume, taken = levelled(field, brain, never, 0)
    assert torch.equal(volume, field)
    assert not taken.any()
    assert Settings.preset("paper").levelled == 0
    with pytest.raises(BadInput, match="0 to 5 times"):
        replace(Settings.tiny(), levelled=6)


def test_a_brain_of_a_few_voxels_is_no_trouble() -> None:
    few = torch.zeros(32, 32, 32, dtype=torch.bool)
    few[15:17, 15:17, 15:17] = True
    assert torch.isfinite(smooth_field(torch.randn(32, 32, 32), few)).all()
