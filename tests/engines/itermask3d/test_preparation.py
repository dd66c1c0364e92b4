"""From any scan to the model's grid and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engines.errors import BadInput, BadVolume
from engines.itermask3d.preparation import LIMIT, normalised, percentiles, prepare
from engines.itermask3d.settings import Settings
from engines.volume import Volume
from tests.engines import phantoms

SETTINGS = replace(Settings.tiny(), size=(48, 48, 48), voxel_mm=4.0)


def isotropic(mm: float = 4.0, degrees: float = 0.0) -> phantoms.Phantom:
    shape = tuple(round(176 / mm) for _ in range(3))
    affine = phantoms.centred_affine(shape, (mm, mm, mm), degrees)
    return phantoms.brain(shape, seed=3, lesion=phantoms.Lesion(), affine=affine)


def test_a_scan_of_the_grids_voxel_size_is_moved_but_not_changed() -> None:
    phantom = isotropic()
    grid = prepare(phantom.volume, SETTINGS)
    back = grid.to_volume(grid.head) * phantom.volume.voxels.max()
    assert np.allclose(back[phantom.brain], phantom.volume.voxels[phantom.brain], rtol=1e-5)
    assert grid.brain.sum() == phantom.brain.sum()


def test_the_brain_lies_in_the_middle_whatever_the_axis_order() -> None:
    phantom = isotropic()
    grid = prepare(phantom.volume, SETTINGS)
    inside = np.argwhere(grid.brain)
    assert np.abs((inside.min(0) + inside.max(0)) / 2 - 23.5).max() <= 1
    turned = prepare(phantoms.reoriented(phantom.volume, "PSR"), SETTINGS)
    assert np.array_equal(turned.head, grid.head)
    assert np.array_equal(turned.brain, grid.brain)


def test_the_first_axis_runs_to_the_right() -> None:
    phantom = isotropic()  # its lesion lies 25 mm to the right, 20 to the front, 10 up
    grid = prepare(phantom.volume, SETTINGS)
    bright = np.argwhere(grid.head > 0.8).mean(0) - np.argwhere(grid.brain).mean(0)
    assert bright * 4.0 == pytest.approx([25, 20, 10], abs=3)


@pytest.mark.parametrize(("mm", "degrees"), [(2.5, 0.0), (4.0, 20.0)])
def test_finer_and_turned_scans_come_back_to_where_they_were(mm: float, degrees: float) -> None:
    phantom = isotropic(mm, degrees)
    grid = prepare(phantom.volume, SETTINGS)
    back = grid.to_volume(grid.brain.astype(np.float32)) > 0.5
    assert 2 * (back & phantom.brain).sum() / (back.sum() + phantom.brain.sum()) > 0.96
    bits = grid.to_volume(grid.brain.astype(np.uint32) << np.uint32(31), order=0)
    assert set(np.unique(bits)) == {0, 1 << 31}


def test_grey_levels_are_standard_deviations_of_the_brain_without_outliers() -> None:
    random = torch.Generator().manual_seed(0)
    head = 5 + 2 * torch.randn(20, 20, 20, generator=random)
    brain = torch.zeros(20, 20, 20, dtype=torch.bool)
    brain[4:16, 4:16, 4:16] = True
    head[5, 5, 5] = 1e4
    out = normalised(head, brain)
    usual = brain.clone()
    usual[5, 5, 5] = False
    # The first deviation is the outlier's; what lies within three of it is everything else.
    expected = ((head - head[usual].mean()) / head[usual].std()).clamp(-LIMIT, LIMIT)
    assert torch.allclose(out[brain], expected[brain], atol=1e-4)
    assert (out[~brain] == -LIMIT).all()
    assert torch.allclose(normalised(head * 1e20, brain), out, atol=1e-4)


def test_with_landmarks_another_contrast_of_the_same_brain_looks_the_same() -> None:
    random = torch.Generator().manual_seed(0)
    head = 0.5 + 0.1 * torch.randn(20, 20, 20, generator=random).clamp(-2, 2)
    brain = torch.zeros(20, 20, 20, dtype=torch.bool)
    brain[2:18, 2:18, 2:18] = True
    landmarks = tuple(percentiles(normalised(head, brain)[brain]).tolist())
    plain = normalised(head, brain)
    assert torch.allclose(normalised(head, brain, landmarks), plain, atol=1e-4)
    other = 40 * head.square() + 7  # rises with the grey level, so it keeps every percentile's voxels
    assert (normalised(other, brain) - plain)[brain].abs().max() > 0.2
    moved = normalised(other, brain, landmarks)
    assert (moved - plain)[brain].abs().max() < 0.05
    assert torch.allclose(percentiles(moved[brain]).float(), torch.tensor(landmarks), atol=0.01)
    # A target is moved as the head that is shown: where both agree, they agree afterwards.
    darker = torch.where(head > 0.6, 0.3, head)
    target = normalised(head, brain, landmarks, like=darker)
    assert torch.equal(target[head <= 0.6], normalised(darker, brain, landmarks)[head <= 0.6])


def test_landmarks_bear_a_lump_of_one_grey_level() -> None:
    head = torch.linspace(0.1, 1, 1000).reshape(10, 10, 10)
    head = torch.where(head < 0.4, 0.2, head)
    brain = torch.ones(10, 10, 10, dtype=torch.bool)
    landmarks = tuple(percentiles(torch.randn(5000, generator=torch.Generator().manual_seed(0))).tolist())
    out = normalised(head, brain, landmarks)
    assert torch.isfinite(out).all()
    order = head.flatten().argsort(stable=True)
    assert (out.flatten()[order].diff() >= -1e-6).all()
    with pytest.raises(BadInput, match="13 rising"):
        replace(SETTINGS, landmarks=landmarks[::-1])


def test_pictures_and_one_grey_level_are_refused() -> None:
    with pytest.raises(BadVolume, match="picture"):
        prepare(Volume(np.ones((32, 32, 1), np.float32), np.eye(4)), SETTINGS)
    with pytest.raises(BadVolume, match="one grey level"):
        normalised(torch.ones(4, 4, 4), torch.ones(4, 4, 4, dtype=torch.bool))
