"""Places against their mirror image: one-sided scores stay, two-sided ones fade."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engines.blocks.mirrored import REACH, against_mirror
from engines.blocks.slab_features import Seen, Slabs, View, look
from engines.simpleslicenet.settings import Settings
from engines.volume import Volume
from tests.engines import phantoms

CELLS = 24


@pytest.fixture(scope="module")
def seen() -> Seen:
    return look(phantoms.brain(seed=9).volume, View.of(replace(Settings.tiny(), slices=1)))


def _slabs(shift: int = 0) -> Slabs:
    inside = torch.zeros(9, CELLS, CELLS, dtype=torch.bool)
    inside[:, 4:20, 4 + shift : 20 + shift] = True
    return Slabs(torch.empty(0), torch.linspace(0, 1, 9), inside)


@pytest.mark.parametrize("shift", [0, 1])
def test_what_glows_on_both_sides_fades_and_a_lesion_on_one_side_stays(seen: Seen, shift: int) -> None:
    slabs = _slabs(shift)
    both = torch.zeros(9, CELLS, CELLS)
    both[1:8, 6:18, 5 + shift : 10 + shift] = 4
    one = both.clone()
    both[1:8, 6:18, 14 + shift : 19 + shift] = 4
    fades, stays = (against_mirror(seen, slabs, score, 0.5) for score in (both, one))
    left = (slice(3, 6), slice(8, 16), slice(6 + shift, 10 + shift))
    assert fades[left].mean() < 0.75 * both[left].mean()
    assert stays[left].mean() > 0.95 * one[left].mean()
    assert shift <= REACH


def test_a_low_score_of_the_other_side_raises_nothing(seen: Seen) -> None:
    score = torch.zeros(9, CELLS, CELLS)
    score[:, :, 12:] = -5
    assert torch.equal(against_mirror(seen, _slabs(), score, 0.5), score)


def test_pictures_sagittal_slices_and_a_share_of_zero_change_nothing(seen: Seen) -> None:
    score = torch.rand(9, CELLS, CELLS, generator=torch.Generator().manual_seed(0)) + 1
    slabs = _slabs()
    assert not torch.equal(against_mirror(seen, slabs, score, 0.5), score)
    assert torch.equal(against_mirror(seen, slabs, score, 0.0), score)
    picture = replace(seen.coarse, volume=_picture(seen.coarse.volume))
    assert torch.equal(against_mirror(replace(seen, coarse=picture), slabs, score, 0.5), score)
    sagittal = replace(seen, stack=replace(seen.stack, _canonical_axis=0))
    assert torch.equal(against_mirror(sagittal, slabs, score, 0.5), score)


def _picture(volume: Volume) -> Volume:
    return replace(volume, voxels=volume.voxels[:, :, :1], calibrated=False)
