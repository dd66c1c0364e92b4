"""Artefacts are seeded, start from nothing, grow with severity and look like what they are called."""

from __future__ import annotations

import pytest
import torch

from engines.errors import BadInput
from engines.itermask3d.artefacts import ARTEFACTS, corrupted


@pytest.fixture(scope="module")
def head() -> torch.Tensor:
    i, j, k = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in (48, 64, 40)), indexing="ij")
    inside = (i / 0.75).square() + (j / 0.8).square() + (k / 0.8).square() < 1
    return torch.where(inside, 0.6 + 0.3 * torch.sin(9 * i) * torch.cos(11 * j) * torch.cos(7 * k), 0.0)


@pytest.mark.parametrize("kind", ARTEFACTS)
def test_an_artefact_grows_with_severity_and_can_be_repeated(head: torch.Tensor, kind: str) -> None:
    before = head.clone()
    assert torch.equal(corrupted(head, kind, 0, 0), head)
    changes = [(corrupted(head, kind, severity, 3) - head).square().mean().item() for severity in (0.25, 0.5, 1.0)]
    assert 1e-5 < changes[0] < changes[1] < changes[2]
    again = corrupted(head, kind, 0.5, 3)
    assert torch.equal(corrupted(head, kind, 0.5, 3), again)
    assert again.shape == head.shape
    assert again.min() >= 0
    assert torch.isfinite(again).all()
    assert torch.equal(head, before)


def test_a_missing_slab_is_empty_and_the_rest_untouched(head: torch.Tensor) -> None:
    out = corrupted(head, "missing_top", 1, 0)
    kept = (out == head).flatten(0, 1).all(0)
    assert kept[:26].all()
    assert (out[:, :, 27:] == 0).all()


def test_ghosts_lie_a_quarter_of_the_field_away(head: torch.Tensor) -> None:
    line = torch.zeros(8, 64, 8)
    line[:, 20] = 1
    ghost = corrupted(line, "ghosting", 0.5, 0)[4, :, 4]
    assert set(ghost.topk(4).indices.tolist()) == {20, 36, 52, 4}


def test_noise_has_its_standard_deviation(head: torch.Tensor) -> None:
    bright = torch.full((32, 32, 32), 10.0)
    assert corrupted(bright, "noise", 0.5, 0).std().item() == pytest.approx(0.05 * 10, rel=0.05)


def test_folding_moves_tissue_and_loses_none(head: torch.Tensor) -> None:
    out = corrupted(head, "folding", 1, 0)
    assert out.sum().item() == pytest.approx(head.sum().item(), rel=1e-5)
    rows = out.amax((0, 2)).nonzero()[:, 0]
    assert len(rows) == round(0.6 * len((head > 0.1 * head.max()).amax((0, 2)).nonzero()))


def test_a_cut_k_space_has_no_high_frequencies(head: torch.Tensor) -> None:
    out = corrupted(head, "gibbs", 0.5, 0)
    high = torch.fft.fft(out, dim=0).abs()[15:34].sum() / torch.fft.fft(head, dim=0).abs()[15:34].sum()
    assert high < 0.35


def test_distortion_keeps_the_amount_of_tissue_about(head: torch.Tensor) -> None:
    out = corrupted(head, "distortion", 0.5, 0)
    assert out.sum().item() == pytest.approx(head.sum().item(), rel=0.1)


def test_unknown_artefacts_and_severities_are_refused(head: torch.Tensor) -> None:
    with pytest.raises(BadInput, match="Choose one of"):
        corrupted(head, "rain", 0.5, 0)
    with pytest.raises(BadInput):
        corrupted(head, "noise", 1.5, 0)
