"""Irregular series: gaps, tilt, duplicates, uneven steps and several volumes in one series."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from brainviewer import reading
from brainviewer.study import Series
from tests.reading import phantoms

AXIAL = phantoms.LPS @ np.diag([1.0, 1.0, 2.0, 1.0])


def ramp(count: int) -> np.ndarray:
    """Slices whose value is 100 x their number."""
    return np.broadcast_to(np.arange(count, dtype=np.int16) * 100 + 100, (6, 5, count)).copy()


def series_in(folder: Path) -> tuple[Series, ...]:
    (study,) = reading.scan([folder])
    return study.series


def with_positions(z_of: Callable[[int], float], y_of: Callable[[int], float] = lambda _k: 0.0) -> phantoms.Change:
    def change(dataset: Dataset, k: int) -> None:
        dataset.ImagePositionPatient = [0, y_of(k), z_of(k)]

    return change


def test_a_missing_slice_is_left_empty_and_the_others_stay_in_place(tmp_path: Path) -> None:
    change = with_positions(lambda k: 2.0 * k + (2.0 if k >= 4 else 0.0))
    (series,) = series_in(phantoms.write_series(tmp_path / "s", ramp(7), AXIAL, change))

    volume = reading.load(series)

    assert series.shape == (6, 5, 8)
    assert [volume.voxels[0, 0, k] for k in range(8)] == [100, 200, 300, 400, 100, 500, 600, 700]
    assert (volume.affine @ [0, 0, 7, 1])[2] == pytest.approx(14.0)
    (warning,) = series.warnings
    assert "1 slice is missing: slice 5, a gap of 4.00 mm (usual step 2.00 mm)" in warning


def test_two_gaps_are_both_named(tmp_path: Path) -> None:
    places = [0, 2, 4, 10, 12, 14, 18, 20]
    (series,) = series_in(phantoms.write_series(tmp_path / "s", ramp(8), AXIAL, with_positions(places.__getitem__)))
    assert series.shape[2] == 11
    assert "3 slices are missing: slices 4 to 5, a gap of 6.00 mm, slice 9, a gap of 4.00 mm" in series.warnings[0]


def test_uneven_spacing_is_said_with_its_error(tmp_path: Path) -> None:
    places = [0.0, 2.0, 4.0, 6.7, 8.0, 10.0]
    (series,) = series_in(phantoms.write_series(tmp_path / "s", ramp(6), AXIAL, with_positions(places.__getitem__)))
    assert series.shape[2] == 6
    (warning,) = series.warnings
    assert "unevenly spaced, from 1.30 to 2.70 mm" in warning
    assert "off by up to 0.7 mm (slice 4)" in warning


def test_rounded_positions_are_not_called_uneven(tmp_path: Path) -> None:
    change = with_positions(lambda k: round(k * 1.3333, 2))
    (series,) = series_in(phantoms.write_series(tmp_path / "s", ramp(9), AXIAL, change))
    assert series.warnings == ()


def test_gantry_tilt_gives_a_sheared_affine_with_true_positions(tmp_path: Path) -> None:
    tilt = np.radians(12.0)
    change = with_positions(lambda k: 2.0 * k * np.cos(tilt), lambda k: 2.0 * k * np.sin(tilt))
    (series,) = series_in(phantoms.write_series(tmp_path / "s", ramp(6), AXIAL, change, kind="CT"))

    (warning,) = series.warnings
    assert "tilted" in warning
    assert "12.0 degrees" in warning
    x, y, z = (np.asarray(series.affine) @ [0, 0, 5, 1])[:3]
    assert (x, y, z) == pytest.approx((0.0, -10.0 * np.sin(tilt), 10.0 * np.cos(tilt)), abs=1e-4)


def test_sideways_shifts_are_said(tmp_path: Path) -> None:
    change = with_positions(lambda k: 2.0 * k, lambda k: 3.0 if k == 2 else 0.0)
    (series,) = series_in(phantoms.write_series(tmp_path / "s", ramp(6), AXIAL, change))
    assert "shifted sideways" in series.warnings[0]
    assert "3.0 mm (slice 3)" in series.warnings[0]


def test_copies_of_a_file_are_left_out(tmp_path: Path) -> None:
    folder = phantoms.write_series(tmp_path / "s", ramp(5), AXIAL)
    first = sorted(folder.iterdir())[0]
    (folder / "copy").write_bytes(first.read_bytes())
    (series,) = series_in(folder)
    assert series.shape[2] == 5
    assert series.warnings == ("1 slice is in the folder twice; the copies are left out.",)


def test_a_second_slice_at_the_same_place_is_dropped_and_said(tmp_path: Path) -> None:
    change = with_positions(lambda k: 2.0 * min(k, 4))
    (series,) = series_in(phantoms.write_series(tmp_path / "s", ramp(6), AXIAL, change))
    assert series.shape[2] == 5
    assert "1 slice lies at the same place as another (duplicate)" in series.warnings[0]


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("EchoTime", ("20", "80")),
        ("TemporalPositionIdentifier", (1, 2)),
        ("ImageType", (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"])),
        ("AcquisitionNumber", (1, 2)),
    ],
)
def test_slices_that_coincide_are_split_by_what_tells_them_apart(
    keyword: str, values: tuple[object, object], tmp_path: Path
) -> None:
    def change(dataset: Dataset, k: int) -> None:
        dataset.ImagePositionPatient = [0, 0, 2.0 * (k % 4)]
        setattr(dataset, keyword, values[k // 4])

    first, second = series_in(phantoms.write_series(tmp_path / "s", ramp(8), AXIAL, change))
    assert reading.load(first).voxels[0, 0].tolist() == [100, 200, 300, 400]
    assert reading.load(second).voxels[0, 0].tolist() == [500, 600, 700, 800]
    assert first.warnings == second.warnings == ()
    assert first.uid != second.uid
    assert first.title == "AX T1 (1 of 2)"


def test_whole_repeats_without_a_mark_become_volumes_with_a_warning(tmp_path: Path) -> None:
    def change(dataset: Dataset, k: int) -> None:
        dataset.ImagePositionPatient = [0, 0, 2.0 * (k % 4)]
        dataset.InstanceNumber = k + 1

    first, second = series_in(phantoms.write_series(tmp_path / "s", ramp(8), AXIAL, change))
    assert reading.load(second).voxels[0, 0].tolist() == [500, 600, 700, 800]
    assert "2 times" in first.warnings[0]


def test_directions_and_sizes_are_split(tmp_path: Path) -> None:
    folder = phantoms.write_series(tmp_path / "s", ramp(4), AXIAL)
    sagittal = phantoms.LPS @ np.array([[0, 0, 3.0, 0], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
    phantoms.write_series(folder / "loc", ramp(3), sagittal)
    phantoms.write_series(folder / "big", np.zeros((9, 9, 2), np.int16), AXIAL)
    assert sorted(series.shape for series in series_in(folder)) == [(6, 5, 3), (6, 5, 4), (9, 9, 2)]


def test_series_and_studies_mixed_in_one_folder_come_apart(tmp_path: Path) -> None:
    for n, uids in enumerate([("1.1", "1.1.1"), ("1.1", "1.1.2"), ("1.2", "1.2.1")]):
        phantoms.write_series(tmp_path / str(n), ramp(3 + n), AXIAL, uids=uids)
    studies = {study.uid: study for study in reading.scan([tmp_path])}
    assert {uid: [series.shape[2] for series in study.series] for uid, study in studies.items()} == {
        "1.1": [3, 4],
        "1.2": [5],
    }
    assert studies["1.1"].title == "Doe Jane, Brain"
    assert studies["1.1"].date == "2026-11-21"
    assert all("Doe" not in series.title + series.uid for series in studies["1.1"].series)


def test_slices_without_positions_are_ordered_by_number_and_uncalibrated(tmp_path: Path) -> None:
    def change(dataset: Dataset, k: int) -> None:
        del dataset.ImagePositionPatient
        dataset.InstanceNumber = 10 - k

    (series,) = series_in(phantoms.write_series(tmp_path / "s", ramp(4), AXIAL, change))
    assert reading.load(series).voxels[0, 0].tolist() == [400, 300, 200, 100]
    assert not series.calibrated
    assert "does not say where its slices lie" in series.warnings[0]


def test_frames_without_places_of_their_own_are_an_uncalibrated_stack(tmp_path: Path) -> None:
    dataset = phantoms.slice_dataset(np.ascontiguousarray(ramp(5).transpose(2, 1, 0)))
    dataset.NumberOfFrames, dataset.Modality = 5, "NM"
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    (study,) = reading.scan([phantoms.save(dataset, tmp_path / "nm.dcm")])
    (series,) = study.series
    assert not series.calibrated
    assert "left and right are not known" in series.warnings[0]
    assert reading.load(series).voxels[0, 0].tolist() == [100, 200, 300, 400, 500]


def test_real_series_with_a_missing_slice(data_dir: Path) -> None:
    (series,) = series_in(data_dir / "dicom/adi_brain")
    assert series.shape == (384, 512, 56)
    assert series.modality == "T2"
    (warning,) = series.warnings
    assert "a gap of 5.00 mm (usual step 2.50 mm)" in warning


def test_real_series_spacing_comes_from_positions_not_from_the_thickness(data_dir: Path) -> None:
    (series,) = series_in(data_dir / "dicom/papaya")
    assert series.shape == (256, 256, 20)
    assert np.linalg.norm(np.asarray(series.affine)[:3, 2]) == pytest.approx(7.0, abs=0.01)  # thickness 5 mm
    assert series.warnings == ()


def test_real_enhanced_series(data_dir: Path) -> None:
    found = {series.title: series for study in reading.scan([data_dir / "dicom/enhanced"]) for series in study.series}
    magnitude, field = found["B0 NS (1 of 2)"], found["B0 NS (2 of 2)"]
    assert magnitude.shape == field.shape == (64, 64, 32)
    # Rescale differs from frame to frame: magnitude starts at zero, the field map is signed.
    assert reading.load(magnitude).voxels.min() == 0
    assert reading.load(field).voxels.min() < -400
    assert [series.shape for title, series in found.items() if title.startswith("REST1")] == [(64, 64, 6)] * 4
    assert all(series.warnings == () for series in found.values())
