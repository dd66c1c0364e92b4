"""Training masks and network input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engines.itermask3d import masking
from engines.itermask3d.masking import blob, masked_input, training_mask


@pytest.fixture(scope="module")
def brain() -> torch.Tensor:
    axes = [torch.linspace(-1.2, 1.2, 48)] * 3
    i, j, k = torch.meshgrid(*axes, indexing="ij")
    return i.square() + j.square() + k.square() < 1


def test_a_blob_is_one_piece_of_the_brain_and_another_each_time(brain: torch.Tensor) -> None:
    random = torch.Generator().manual_seed(0)
    blobs = [blob(brain, 2.0, random) for _ in range(6)]
    assert all(0 < mask.sum() <= brain.sum() and not (mask & ~brain).any() for mask in blobs)
    assert len({int(mask.sum()) for mask in blobs}) == 6
    again = torch.Generator().manual_seed(0)
    assert torch.equal(blob(brain, 2.0, again), blobs[0])


def test_blobs_are_as_large_as_the_published_points_make_them(monkeypatch: pytest.MonkeyPatch) -> None:
    # The published sampler, with the same centre and covariance: 100,000 points, each masks the block it falls into.
    monkeypatch.setattr(masking, "BLOCKS_MM", (1,))
    monkeypatch.setattr(masking, "VARIANCES", (4.0, 4.0))
    everywhere = torch.ones(64, 64, 64, dtype=torch.bool)
    ours = [int(blob(everywhere, 1.0, torch.Generator().manual_seed(seed)).sum()) for seed in range(12)]
    random = np.random.default_rng(0)
    points = np.floor(random.normal(32, 2.0, (12, 100_000, 3))).astype(int) @ [64 * 64, 64, 1]
    published = [len(np.unique(blocks)) for blocks in points]
    assert max(ours) == pytest.approx(np.mean(published), rel=0.03)  # the others are cut by the border


def test_some_masks_are_the_whole_brain(brain: torch.Tensor) -> None:
    random = torch.Generator().manual_seed(0)
    whole = [torch.equal(training_mask(brain, 2.0, 0.25, random), brain) for _ in range(200)]
    assert np.mean(whole) == pytest.approx(0.25, abs=0.08)


def test_noise_stands_under_the_mask_only() -> None:
    volume, edges = torch.full((1, 1, 4, 4, 4), 7.0), torch.full((1, 1, 4, 4, 4), 2.0)
    mask = torch.zeros(1, 1, 4, 4, 4, dtype=torch.bool)
    mask[..., 0] = True
    shown = masked_input(volume, edges, mask, torch.full((1, 1, 4, 4, 4), -1.0))
    assert (shown[:, 0][mask[:, 0]] == -1).all()
    assert (shown[:, 0][~mask[:, 0]] == 7).all()
    assert (shown[:, 1] == 2).all()
