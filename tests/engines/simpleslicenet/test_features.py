"""Encoders, aggregation against its unfolded form, slabs, the common voxel size, places."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional

from engines.blocks.appearance import changed_appearance, equal_contrast
from engines.blocks.coarse import coarsened
from engines.blocks.patch_features import aggregate, feature_size, pool_slices, slabs_to_slices
from engines.blocks.place_scores import LEVELS, PlaceScale
from engines.blocks.planted_lesion import planted
from engines.blocks.slab_features import Slabs, View, look
from engines.blocks.slice_encoder import SliceEncoder, load_encoder, random_encoder
from engines.errors import BadInput
from engines.preparation import prepare_slices
from engines.simpleslicenet.contrast import BOTTOM
from engines.simpleslicenet.settings import Settings
from tests.engines import phantoms


def unfolded(fine: torch.Tensor, coarse: torch.Tensor, size: int) -> torch.Tensor:
    """The published way: 3x3 patches unfolded, resized plane by plane, adaptive means of the long vectors."""
    patches = []
    for level in (fine, coarse):
        n, c, h, w = level.shape
        planes = functional.unfold(level, 3, padding=1).view(n, c * 9, h, w)
        planes = functional.interpolate(planes, fine.shape[2:], mode="bilinear", align_corners=False)
        vectors = planes.permute(0, 2, 3, 1).reshape(-1, 1, c * 9)
        patches.append(functional.adaptive_avg_pool1d(vectors, size))
    pooled = functional.adaptive_avg_pool1d(torch.stack(patches, 1).reshape(len(patches[0]), 1, -1), size)
    n, _, h, w = fine.shape
    return pooled.view(n, h, w, size).permute(0, 3, 1, 2)


def test_closed_form_is_the_unfolded_one() -> None:
    torch.manual_seed(0)
    fine, coarse = torch.randn(2, 16, 7, 9), torch.randn(2, 32, 4, 5)
    assert torch.allclose(aggregate(fine, coarse, 16), unfolded(fine, coarse, 16), atol=1e-5)


def test_width_that_cuts_a_channel_in_two_is_refused() -> None:
    assert feature_size((40, 112), 0) == 152
    assert feature_size((512, 1024), 512) == 512
    with pytest.raises(BadInput, match="40 and 112"):
        feature_size((40, 112), 80)


def test_bright_slab_stays_where_it_is() -> None:
    slices = torch.zeros(96, 1, 2, 2)
    slices[47:50] = 1.0
    published = slabs_to_slices(pool_slices(slices, 3, 3), 96, 3, 3).flatten(1).mean(1)
    assert pool_slices(slices, 3, 3).shape[0] == 32
    assert int(published.argmax()) in (46, 47, 48, 49)
    around = pool_slices(slices, 3, 1).flatten(1).mean(1)
    assert around.shape[0] == 96
    assert int(around.argmax()) == 48


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_slices_than_a_slab(count: int) -> None:
    slices = torch.rand(count, 4, 2, 2)
    for stride in (1, 3):
        pooled = pool_slices(slices, 3, stride)
        assert torch.isfinite(pooled).all()
        assert slabs_to_slices(pooled, count, 3, stride).shape == slices.shape


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "resnet18", "resnet50"])
def test_encoders_halve_the_side_at_each_level(backbone: str) -> None:
    encoder = random_encoder(backbone, 0, levels=4)
    maps = encoder(torch.rand(1, 64, 64) * 2 - 1)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (c, s, s) for c, s in zip(encoder.channels, (16, 8, 4, 2), strict=True)
    ]
    assert encoder.channels[3] == BOTTOM[backbone]
    cut = SliceEncoder(backbone)
    cut.net.load_state_dict({key: encoder.net.state_dict()[key] for key in cut.net.state_dict()})
    assert torch.equal(cut.eval()(torch.zeros(1, 64, 64))[2], encoder(torch.zeros(1, 64, 64))[2])


def test_users_weights_are_loaded_and_wrong_ones_refused(tmp_path: Path) -> None:
    made = random_encoder("resnet18", 3, levels=4)
    state = {**made.net.state_dict(), "fc.weight": torch.zeros(1000, 512)}
    torch.save(state, tmp_path / "resnet18.pth")
    loaded, digest = load_encoder("resnet18", str(tmp_path / "resnet18.pth"))
    assert len(digest) == 64
    assert torch.equal(loaded.net.state_dict()["layer3.1.conv2.weight"], state["layer3.1.conv2.weight"])
    with pytest.raises(BadInput, match="does not hold the weights of resnet50"):
        load_encoder("resnet50", str(tmp_path / "resnet18.pth"))
    with pytest.raises(BadInput, match="needs its ImageNet weights"):
        load_encoder("resnet50", "")
    (tmp_path / "junk.pth").write_bytes(b"junk")
    with pytest.raises(BadInput, match="not a readable file"):
        load_encoder("resnet18", str(tmp_path / "junk.pth"))


def test_packaged_weights_are_the_published_ones() -> None:
    encoder, digest = load_encoder("efficientnet_lite0", "")
    assert digest.startswith("57934424")
    assert not any(p.requires_grad for p in encoder.parameters())


def test_common_voxel_size_keeps_the_extent() -> None:
    affine = phantoms.centred_affine((96, 104, 60), (2.0, 2.0, 2.0))
    fine = phantoms.brain((96, 104, 60), affine=affine)
    coarse = coarsened(fine.volume, 4.0)
    assert coarse.volume.shape == (48, 52, 30)
    assert coarse.volume.spacing_mm == pytest.approx([4.0] * 3)
    # The grid's outer corners stay where they were.
    corner = [-0.5, -0.5, -0.5, 1]
    assert fine.volume.affine @ corner == pytest.approx(coarse.volume.affine @ corner)
    back = coarse.to_native(coarse.volume.voxels)
    assert back.shape == fine.volume.shape
    assert np.abs(back - fine.volume.voxels)[20:70, 20:80, 15:45].mean() < 3
    assert coarse.per_slice(np.arange(30.0)).tolist() == np.repeat(np.arange(30.0), 2).tolist()


def test_usual_score_of_a_place_is_taken_off() -> None:
    torch.manual_seed(0)
    inside = torch.ones(10, 6, 6, dtype=torch.bool)
    usual = torch.zeros(10, 6, 6)
    usual[:, :3] = 5.0
    healthy = []
    for _ in range(12):
        slabs = Slabs(torch.empty(0), torch.linspace(0, 1, 10), inside)
        healthy.append((slabs, usual + torch.randn(10, 6, 6)))
    scale = PlaceScale.measured(healthy)
    assert scale.mean.shape == (LEVELS, 6, 6)
    ill = usual.clone()
    ill[5, 5, 5] += 6
    found = scale.standardised(healthy[0][0], ill)
    assert found.argmax() == (5 * 6 + 5) * 6 + 5
    assert abs(float(found[:, 0].mean())) < 0.5
    again = PlaceScale.from_arrays(scale.to_arrays())
    assert torch.equal(again.mean, scale.mean)


def test_planted_lesion_lies_inside_and_nothing_else_changes() -> None:
    stack = prepare_slices(phantoms.brain().volume, 64)
    ill, lesion = planted(stack, 8 * 64 / 210, seed=3)
    assert 0 < lesion.sum() < 0.5 * stack.foreground.sum()
    assert not (lesion & ~stack.foreground).any()
    assert np.abs(ill.pictures - stack.pictures)[lesion].mean() > 0.05
    far = ndimage.distance_transform_edt(~lesion) > 24
    assert np.array_equal(ill.pictures[far], stack.pictures[far])


def test_equal_contrast_makes_two_scanners_alike() -> None:
    stack = prepare_slices(phantoms.brain().volume, 64)
    flat = replace(stack, pictures=np.where(stack.foreground, 0.4 * stack.pictures, stack.pictures))
    one, other = equal_contrast(stack), equal_contrast(flat)
    assert np.abs(one.pictures - other.pictures)[stack.foreground].mean() < 0.01


def test_all_brains_have_one_scale() -> None:
    volume = phantoms.brain((96, 104, 20), affine=phantoms.centred_affine((96, 104, 20), (2.0, 2.0, 8.0))).volume
    stack = prepare_slices(volume, 100, side_mm=200.0)
    middle = stack.foreground[stack.foreground.shape[0] // 2]
    length_mm = 2 * np.count_nonzero(middle.any(1))
    assert length_mm == pytest.approx(2 * phantoms.HALF_AXES_MM[1], rel=0.08)
    assert abs(np.flatnonzero(middle.any(1)).mean() - 49.5) < 2


@pytest.mark.parametrize("side_mm", [200.0, 0.0])
def test_distance_of_slices_is_measured_in_the_pixels_shown(side_mm: float) -> None:
    affine = phantoms.centred_affine((96, 104, 20), (2.0, 2.0, 8.0))
    volume = phantoms.brain((96, 104, 20), affine=affine).volume
    seen = look(volume, View.of(replace(Settings(), size=96, spacing_mm=1.0, side_mm=side_mm)))
    rows = np.flatnonzero(seen.stack.foreground.any((0, 2)))
    brain_mm = 2 * np.count_nonzero(seen.stack.region.any((0, 2)))
    assert (rows[-1] - rows[0] + 1) * 8 / seen.slice_px == pytest.approx(brain_mm, rel=0.05)
    assert side_mm == 0 or seen.slice_px == pytest.approx(8 * 96 / side_mm)


def test_changed_appearance_keeps_tissue_and_background() -> None:
    stack = prepare_slices(phantoms.brain().volume, 64)
    other = changed_appearance(stack, 1)
    inside = stack.foreground
    assert np.median(other.pictures[inside]) == pytest.approx(np.median(stack.pictures[inside]), abs=0.02)
    assert (other.pictures[~inside] == stack.pictures[~inside]).all()
    assert np.abs(other.pictures - stack.pictures)[inside].mean() > 0.005
    assert np.array_equal(changed_appearance(stack, 1).pictures, other.pictures)
