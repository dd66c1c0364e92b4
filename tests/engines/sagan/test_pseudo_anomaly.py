"""Foreign patches lie where the paper puts them."""

from __future__ import annotations

import torch

from engines.sagan.pseudo_anomaly import foreign_patches, shifted_blobs


def changed(normal: torch.Tensor, foreground: torch.Tensor | None = None, seed: int = 0) -> torch.Tensor:
    made = foreign_patches(normal, torch.Generator().manual_seed(seed), foreground)
    return made != normal


def test_squares_are_never_cut_by_the_border_and_have_the_published_area() -> None:
    normal = torch.randn(400, 1, 64, 64)
    where = changed(normal)[:, 0]
    assert not where[:, -2:].any()  # the lowest centre is row 50, the widest half-width 12
    areas = where.flatten(1).sum(1)
    assert areas.min() >= 36
    assert areas.max() <= 576
    sides = where.any(1).sum(1)
    assert torch.equal(sides, where.any(2).sum(1))  # squares
    assert torch.equal(areas, sides**2)
    assert set((sides // 2).tolist()) == set(range(3, 13))


def test_inside_a_square_lies_a_blend_with_another_picture() -> None:
    levels = torch.arange(5.0)[:, None, None, None].expand(5, 1, 64, 64).contiguous()
    made = foreign_patches(levels, torch.Generator().manual_seed(1))
    assert torch.all((made >= 0) & (made <= 4))
    assert torch.all((made != levels).flatten(1).any(1))  # never blended with itself


def test_centres_follow_the_foreground() -> None:
    normal = torch.randn(200, 1, 64, 64)
    foreground = torch.zeros(200, 1, 64, 64)
    foreground[:, :, 14:18, 40:44] = 1
    where = changed(normal, foreground)[:, 0]
    assert where[:, 16, 42].float().mean() > 0.95
    assert not where[:, 55:].any()


def test_the_same_seed_gives_the_same_squares() -> None:
    normal = torch.randn(8, 1, 64, 64)
    assert torch.equal(changed(normal, seed=3), changed(normal, seed=3))
    assert not torch.equal(changed(normal, seed=3), changed(normal, seed=4))


def test_blobs_change_one_place_of_the_foreground_up_or_down() -> None:
    random = torch.Generator().manual_seed(3)
    normal = torch.full((200, 1, 64, 64), -0.2)
    normal[:, :, :4] = -0.98
    normal[:, :, -1] = 0.98
    foreground = torch.zeros_like(normal)
    foreground[:, :, 8:56, 8:56] = 1
    pseudo = shifted_blobs(normal, random, foreground)
    changed = (pseudo - normal).abs() > 0.05
    assert not changed[foreground == 0].any()
    assert changed.flatten(1).any(1).all()
    assert 0.01 < changed.float().mean() < 0.3
    middle = (pseudo - normal).flatten(1)
    up = middle.max(1).values > -middle.min(1).values
    assert 0.6 < up.float().mean() < 0.8
    assert pseudo.max() <= normal.max()
    assert pseudo.min() >= normal.min()
