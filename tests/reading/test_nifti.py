"""NIfTI: 4D, scaling, which of two affines counts, and what is said when geometry is missing."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from brainviewer import reading
from brainviewer.study import Series
from tests.reading import phantoms
from tests.reading.test_geometry import only_series


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_each_volume_of_a_4d_file_is_a_series(suffix: str, tmp_path: Path) -> None:
    values, affine = phantoms.phantom()
    four = np.stack([values, values * 2, values * 3], axis=3)
    (study,) = reading.scan([phantoms.write_nifti(tmp_path / f"fmri{suffix}", four, affine, sform=1, qform=1)])
    assert [series.title for series in study.series] == ["fmri (1 of 3)", "fmri (2 of 3)", "fmri (3 of 3)"]
    assert len({series.uid for series in study.series}) == 3
    for factor, series in enumerate(study.series, start=1):
        assert series.options["frame"] == factor - 1
        np.testing.assert_array_equal(reading.load(series).voxels, values * factor)


def test_scaled_values_match_nibabel(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(50, 20, (6, 5, 4))
    image = nibabel.Nifti1Image(values, np.eye(4))
    image.set_data_dtype(np.int16)
    path = tmp_path / "scaled.nii.gz"
    image.to_filename(path)
    expected = nibabel.load(path).get_fdata()
    assert nibabel.load(path).dataobj.slope != 1
    np.testing.assert_allclose(reading.load(only_series(path)).voxels, expected, rtol=1e-6)


def test_big_endian_and_nifti_2(tmp_path: Path) -> None:
    values, affine = phantoms.phantom()
    nibabel.Nifti2Image(values, affine).to_filename(tmp_path / "two.nii")
    header = nibabel.Nifti1Header(endianness=">")
    nibabel.Nifti1Image(values, affine, header).to_filename(tmp_path / "big.nii")
    for name in ("two.nii", "big.nii"):
        volume = reading.load(only_series(tmp_path / name))
        phantoms.assert_values_lie_where_they_belong(volume.voxels, volume.affine)


def test_voxels_without_a_value_become_zero(tmp_path: Path) -> None:
    values = np.full((4, 4, 4), np.nan, np.float32)
    values[1, 2, 3] = 5
    voxels = reading.load(only_series(phantoms.write_nifti(tmp_path / "nan.nii", values, np.diag([2, 2, 2, 1])))).voxels
    assert voxels.sum() == 5


def with_forms(path: Path, shift_mm: float) -> Series:
    values, affine = phantoms.phantom()
    image = nibabel.Nifti1Image(values, affine)
    image.set_sform(affine, 1)
    moved = affine.copy()
    moved[0, 3] += shift_mm
    image.set_qform(moved, 1)
    image.to_filename(path)
    return only_series(path)


def test_conflicting_affines_are_said_and_the_sform_is_taken(tmp_path: Path) -> None:
    series = with_forms(tmp_path / "conflict.nii", 3.0)
    assert "differ by up to 3.0 mm; the sform is taken" in series.warnings[0]
    np.testing.assert_allclose(series.affine, phantoms.oblique_affine(), atol=1e-5)


def test_a_tiny_difference_is_no_conflict(tmp_path: Path) -> None:
    assert with_forms(tmp_path / "same.nii", 0.05).warnings == ()


def test_the_qform_counts_where_there_is_no_sform(tmp_path: Path) -> None:
    values, affine = phantoms.phantom()
    series = only_series(phantoms.write_nifti(tmp_path / "q.nii", values, affine, sform=0, qform=1))
    np.testing.assert_allclose(series.affine, affine, atol=1e-4)
    assert series.warnings == ()


def raw(path: Path, zooms: tuple[float, float, float], units: str = "mm") -> Series:
    values, _affine = phantoms.phantom()
    image = nibabel.Nifti1Image(values, None)
    image.header.set_zooms(zooms)
    image.header.set_xyzt_units(units)
    image.to_filename(path)
    return only_series(path)


def test_without_codes_sides_are_unknown_but_sizes_count(tmp_path: Path) -> None:
    series = raw(tmp_path / "raw.nii", (2.0, 2.0, 3.0))
    assert series.calibrated
    assert len(series.warnings) == 1
    assert "left may be right" in series.warnings[0]
    np.testing.assert_allclose(np.linalg.norm(np.asarray(series.affine)[:3, :3], axis=0), (2, 2, 3))


def test_without_codes_and_sizes_millimetres_are_unknown(tmp_path: Path) -> None:
    series = raw(tmp_path / "raw.nii", (1.0, 1.0, 1.0))
    assert not series.calibrated
    assert "millimetres are not known" in series.warnings[1]


def test_a_placeholder_affine_is_said(tmp_path: Path) -> None:
    values, _affine = phantoms.phantom()
    series = only_series(phantoms.write_nifti(tmp_path / "p.nii", values, np.diag([-1.0, -1, 1, 1]), sform=2, qform=0))
    assert "looks like a placeholder" in series.warnings[0]


def test_microns_are_converted(tmp_path: Path) -> None:
    values, affine = phantoms.phantom()
    image = nibabel.Nifti1Image(values, affine * [[1000], [1000], [1000], [1]])
    image.header.set_xyzt_units("micron")
    image.to_filename(tmp_path / "u.nii")
    series = only_series(tmp_path / "u.nii")
    np.testing.assert_allclose(series.affine, affine, rtol=1e-4)
    assert "converted to mm" in series.warnings[0]


def test_identity_is_of_the_content_not_of_the_name(tmp_path: Path) -> None:
    values, affine = phantoms.phantom()
    first = only_series(phantoms.write_nifti(tmp_path / "Doe_Jane.nii", values, affine))
    (tmp_path / "other").mkdir()
    again = only_series(phantoms.write_nifti(tmp_path / "other" / "x.nii", values, affine))
    other = only_series(phantoms.write_nifti(tmp_path / "other" / "y.nii", values + 1, affine))
    assert first.uid == again.uid != other.uid
    assert "doe" not in first.uid.lower()


def test_files_of_one_folder_make_one_study(tmp_path: Path) -> None:
    values, affine = phantoms.phantom()
    (tmp_path / "sub-01").mkdir()
    for name in ("sub-01_T1w", "sub-01_FLAIR", "sub-01_lesion_mask"):
        phantoms.write_nifti(tmp_path / "sub-01" / f"{name}.nii.gz", values, affine)
    (study,) = reading.scan([tmp_path / "sub-01"])
    assert study.title == "sub-01"
    assert {series.title: series.modality for series in study.series} == {
        "sub-01_T1w": "T1",
        "sub-01_FLAIR": "FLAIR",
        "sub-01_lesion_mask": "",
    }


def test_slices_show_while_they_are_read(tmp_path: Path) -> None:
    # allocate() is called before any slice is read, and the very array it gave is the volume's.
    values, affine = phantoms.phantom()
    series = only_series(phantoms.write_nifti(tmp_path / "a.nii", values, affine))
    given: list[np.ndarray] = []
    seen: list[int] = []

    def allocate(shape: tuple[int, ...]) -> np.ndarray:
        given.append(np.zeros(shape, np.float32, order="F"))
        return given[0]

    def report(done: int, total: int, _text: str) -> None:
        assert total == 5
        seen.append(int((given[0] != 0).any(axis=(0, 1)).sum()))

    volume = reading.load(series, report, allocate)
    assert volume.voxels is given[0]
    assert seen == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("path", "modality"),
    [
        ("ms_patient26/FLAIR.nii.gz", "FLAIR"),
        ("ms_patient26/T2.nii.gz", "T2"),
        ("ms_patient26/GOLD_STANDARD.nii.gz", ""),
        ("brats2021/BraTS2021_01476/BraTS2021_01476_t1.nii.gz", "T1"),
        ("brats2021/BraTS2021_01476/BraTS2021_01476_seg.nii.gz", ""),
        ("ixi_t1/IXI546-HH-2450_T1.nii.gz", "T1"),
    ],
)
def test_real_files_match_nibabel(path: str, modality: str, data_dir: Path) -> None:
    series = only_series(data_dir / path)
    image = nibabel.load(data_dir / path)
    volume = reading.load(series)
    np.testing.assert_allclose(volume.voxels, image.get_fdata(dtype=np.float32), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(volume.affine, image.affine, atol=1e-5)
    assert series.modality == modality
    assert series.warnings == ()


def test_real_placeholder_geometry_is_said(data_dir: Path) -> None:
    first = sorted((data_dir / "lgg_flair").glob("*_flair.nii.gz"))[0]
    assert "looks like a placeholder" in only_series(first).warnings[0]
