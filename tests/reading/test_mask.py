"""Masks drawn elsewhere, on a series' own grid."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brainviewer import reading
from brainviewer.reading.mask import read_masks
from engines import BadInput


def save(path: Path, voxels: np.ndarray, affine: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


@pytest.fixture
def series(tmp_path: Path):
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = [-20, -30, -12]
    path = save(tmp_path / "scan.nii.gz", np.ones((20, 30, 8), np.float32), affine)
    return reading.scan([path])[0].series[0]


def test_a_label_map_of_another_grid_keeps_its_place_and_volume(series, tmp_path: Path) -> None:
    labels = np.zeros((40, 60, 24), np.uint8)
    labels[10:20, 20:40, 6:12] = 3
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = [-20.5, -30.5, -13]
    (mask,) = read_masks(save(tmp_path / "seg.nii.gz", labels, affine), series)
    assert mask.voxels.shape == series.shape
    assert mask.ml == pytest.approx(10 * 20 * 6 / 1000)
    assert set(np.unique(mask.voxels)) == {0, 1}
    inside = np.argwhere(mask.voxels)
    assert inside.min(0).tolist() == [5, 10, 2]
    assert inside.max(0).tolist() == [9, 19, 3]


def test_a_mask_elsewhere_and_a_file_without_one_are_known_trouble(series, tmp_path: Path) -> None:
    far = np.eye(4)
    far[:3, 3] = 900
    with pytest.raises(BadInput, match="inside the series in view"):
        read_masks(save(tmp_path / "far.nii.gz", np.ones((3, 3, 3), np.uint8), far), series)
    (tmp_path / "notes.txt").write_text("no mask")
    for path in (tmp_path / "notes.txt", tmp_path / "missing.dcm"):
        with pytest.raises(BadInput):
            read_masks(path, series)


def test_segments_of_a_dicom_segmentation_lie_on_the_scan(data_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ct"
    folder.mkdir()
    for number in (1, 2, 3):
        name = f"segmentations_ct-3slice_0{number}.dcm"
        (folder / name).write_bytes((data_dir / "dicom" / "dcmqi" / name).read_bytes())
    (series,) = reading.scan([folder])[0].series
    (liver,) = read_masks(data_dir / "dicom" / "dcmqi" / "segmentations_liver.dcm", series)
    assert liver.voxels.shape == series.shape
    assert "liver" in liver.title.casefold()
    # Liver, not air or bone: soft tissue on CT.
    values = reading.load(series).voxels[liver.voxels > 0]
    assert 0 < np.median(values) < 150
    with pytest.raises(BadInput, match="no mask"):
        read_masks(folder / "segmentations_ct-3slice_01.dcm", series)
