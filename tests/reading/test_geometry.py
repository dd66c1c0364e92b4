"""Left is left: an asymmetric phantom through every axis order of every format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brainviewer import reading
from brainviewer.study import Series
from tests.reading import phantoms


def only_series(path: Path) -> Series:
    studies = reading.scan([path])
    assert [len(study.series) for study in studies] == [1]
    assert studies[0].problems == ()
    return studies[0].series[0]


@pytest.mark.parametrize("order", phantoms.ORDERS, ids=range(48))
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_values_lie_where_they_belong(order: np.ndarray, suffix: str, tmp_path: Path) -> None:
    values, affine = phantoms.reordered(order)
    series = only_series(phantoms.write_nifti(tmp_path / f"head_T1w{suffix}", values, affine, sform=1, qform=1))

    volume = reading.load(series)

    phantoms.assert_values_lie_where_they_belong(volume.voxels, volume.affine)
    assert series.warnings == ()
    assert series.modality == "T1"


@pytest.mark.parametrize("order", phantoms.ORDERS, ids=range(48))
def test_dicom_values_lie_where_they_belong(order: np.ndarray, tmp_path: Path) -> None:
    values, affine = phantoms.reordered(order)
    series = only_series(phantoms.write_series(tmp_path / "series", values, affine))

    volume = reading.load(series)

    phantoms.assert_values_lie_where_they_belong(volume.voxels, volume.affine)
    assert series.warnings == ()
    assert np.allclose(sorted(volume.spacing_mm), sorted(phantoms.SPACING_MM), atol=1e-5)


@pytest.mark.parametrize("order", phantoms.ORDERS[::7], ids=range(7))
def test_enhanced_values_lie_where_they_belong(order: np.ndarray, tmp_path: Path) -> None:
    values, affine = phantoms.reordered(order)
    dataset = phantoms.enhanced_dataset(values, affine)
    for group in dataset.PerFrameFunctionalGroupsSequence:
        group.PixelValueTransformationSequence[0].RescaleSlope = "1"

    volume = reading.load(only_series(phantoms.save(dataset, tmp_path / "enhanced.dcm")))

    phantoms.assert_values_lie_where_they_belong(volume.voxels, volume.affine)


def test_k_increases_along_the_slice_normal(tmp_path: Path) -> None:
    values, affine = phantoms.phantom()
    series = only_series(phantoms.write_series(tmp_path / "series", values, affine))
    lps = phantoms.LPS @ np.asarray(series.affine)
    assert np.cross(lps[:3, 0], lps[:3, 1]) @ lps[:3, 2] > 0


def test_the_marker_is_at_the_patients_left(tmp_path: Path) -> None:
    # Stored as a scanner does: columns run to the patient's left, rows to the back (LPS).
    values = np.zeros((8, 6, 4), np.int16)
    values[7, 2, 1] = 500  # last column: furthest to the left
    affine = phantoms.LPS @ np.diag([2.0, 2.0, 3.0, 1.0])
    volume = reading.load(only_series(phantoms.write_series(tmp_path / "series", values, affine)))

    marker = np.argwhere(volume.voxels == 500)[0]

    x, y, z = (volume.affine @ [*marker, 1])[:3]
    assert (x, y, z) == pytest.approx((-14.0, -4.0, 3.0))  # RAS+: left is negative x


def test_thumbnail_hangs_radiologically(tmp_path: Path) -> None:
    # Whatever the order of the axes, the left marker is on the right of the screen and the front marker on top.
    for n, order in enumerate(phantoms.ORDERS[::5]):
        values = np.zeros((40, 40, 40), np.int16)
        values[2:8, 15:25, :] = 1000  # patient's left: low x in RAS+
        values[15:25, 30:38, :] = 500  # front: high y
        turned = phantoms.apply_orientation(values, order)
        affine = np.diag([1.0, 1, 1, 1]) @ phantoms.inv_ornt_aff(order, values.shape)
        path = phantoms.write_nifti(tmp_path / f"{n}.nii", turned, affine, sform=1, qform=1)

        picture = reading.thumbnail(only_series(path), 40)

        assert picture.shape == (40, 40)
        assert picture.dtype == np.uint8
        rows, columns = np.nonzero(picture > 200)
        assert columns.mean() > 30
        assert 15 <= rows.mean() <= 25
        rows, _columns = np.nonzero((picture > 100) & (picture < 150))
        assert rows.mean() < 12
