"""Volumes and masks from files: right values, right place, one clear sentence for what is no picture."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from engines.errors import BadCohort, BadVolume
from engines.files import load_mask, load_volume, read_volume
from engines.samples import Sample
from tests.engines import phantoms


def sample(path: Path, mask: Path | None = None, slice_labels: str = "") -> Sample:
    return Sample("s1", path, "FLAIR", "abnormal", "test", mask, slice_labels)


def test_nifti_keeps_voxels_and_place(tmp_path: Path) -> None:
    phantom = phantoms.brain(affine=phantoms.centred_affine(degrees=15), lesion=phantoms.Lesion())
    volume_file, mask_file, labels = phantoms.save(tmp_path, "p", phantom)
    one = sample(tmp_path / volume_file, tmp_path / mask_file, labels)
    volume = load_volume(one)
    assert np.array_equal(volume.voxels, phantom.volume.voxels)
    assert np.allclose(volume.affine, phantom.volume.affine, atol=1e-4)
    assert (volume.modality, volume.calibrated) == ("FLAIR", True)
    mask = load_mask(one, volume)
    assert mask is not None
    assert np.array_equal(mask, phantom.lesion)


def test_scaled_integers_are_read_as_their_values(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(2.0, -1.0)
    nibabel.save(image, tmp_path / "v.nii")
    stored = nibabel.load(tmp_path / "v.nii").get_fdata()
    assert np.array_equal(read_volume(tmp_path / "v.nii").voxels, stored.astype(np.float32))


def test_picture_lies_as_columns_and_rows(tmp_path: Path) -> None:
    rows = np.array([[0, 50, 100], [150, 200, 250]], np.uint8)  # 2 rows, 3 columns
    Image.fromarray(rows).save(tmp_path / "p.png")
    volume = load_volume(sample(tmp_path / "p.png"))
    assert volume.shape == (3, 2, 1)
    assert volume.voxels[2, 0, 0] == 100
    assert volume.voxels[0, 1, 0] == 150
    assert not volume.calibrated
    assert np.array_equal(volume.affine, np.diag([-1, -1, 1, 1]))


def test_colour_becomes_luminance_and_16_bits_stay(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 5, 3), (255, 0, 0), np.uint8)).save(tmp_path / "red.png")
    assert read_volume(tmp_path / "red.png").voxels.max() == 76  # 0.299 x 255
    Image.fromarray(np.full((4, 5), 40_000, np.uint16)).save(tmp_path / "deep.png")
    assert read_volume(tmp_path / "deep.png").voxels.max() == 40_000


def test_labels_must_fit_the_slices(tmp_path: Path) -> None:
    volume_file, _, labels = phantoms.save(tmp_path, "p", phantoms.brain())
    with pytest.raises(BadCohort, match="16 slices along its last axis, but 3"):
        load_volume(sample(tmp_path / volume_file, slice_labels=labels[:3]))


def test_mask_on_another_grid_is_refused(tmp_path: Path) -> None:
    volume_file, _, _ = phantoms.save(tmp_path, "p", phantoms.brain())
    moved = phantoms.centred_affine()
    moved[0, 3] += 1.0
    nibabel.save(nibabel.Nifti1Image(np.zeros(phantoms.SHAPE, np.uint8), moved), tmp_path / "m.nii.gz")
    one = sample(tmp_path / volume_file, tmp_path / "m.nii.gz")
    with pytest.raises(BadVolume, match="another grid"):
        load_mask(one, load_volume(one))


def huge_header(path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.float32), np.eye(4)), path)
    content = bytearray(path.read_bytes())
    content[42:48] = np.array([30_000] * 3, "<i2").tobytes()
    path.write_bytes(content)


def truncated(path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.random.default_rng(0).random((20, 20, 20)), np.eye(4)), path)
    path.write_bytes(path.read_bytes()[:9_000])


def colours(path: Path) -> None:
    rgb = np.zeros((3, 3, 3), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    nibabel.save(nibabel.Nifti1Image(rgb, np.eye(4)), path)


def two_volumes(path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 3, 3, 2), np.float32), np.eye(4)), path)


@pytest.mark.parametrize("make", [huge_header, truncated, colours, two_volumes])
@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_damaged_or_other_nifti_is_refused(tmp_path: Path, make: object, name: str) -> None:
    if make is huge_header and name.endswith("gz"):
        pytest.skip("the header is packed")
    make(tmp_path / name)  # type: ignore[operator]
    with pytest.raises(BadVolume, match=r"v\.nii"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "p.png", "p.jpg"])
@pytest.mark.parametrize("content", [b"", b"\x00" * 400, b"\xff\xd8\xff\xe0garbage", b"\x1f\x8b\x08\x00broken"])
def test_garbage_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadVolume, match=name):
        read_volume(tmp_path / name)


def test_other_formats_and_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "v.mha").write_bytes(b"x")
    with pytest.raises(BadVolume, match="neither NIfTI"):
        read_volume(tmp_path / "v.mha")
    with pytest.raises(BadVolume, match="cannot be read"):
        read_volume(tmp_path / "none.nii")
