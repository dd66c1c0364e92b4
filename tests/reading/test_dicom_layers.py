"""Segmentations and maps of other programs and of enemies: another grid, wrong claims, damaged bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from brainviewer import reading
from brainviewer.export.uids import fresh
from brainviewer.reading.dicom_layers import is_layer, read_layers
from brainviewer.study import Series
from engines import BadInput
from tests.export import cases


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Series, np.ndarray]:
    """A segmentation with two segments, its series, and the numbers of its findings."""
    from brainviewer import export

    folder = tmp_path_factory.mktemp("layers")
    order = cases.order(cases.classic(folder / "scan"), folder / "run")
    export.write(order, ["dicom-seg"], folder / "out")
    return folder / "out" / "sagan_seg.dcm", order.source.series, order.material.labels


def test_it_is_told_from_other_files(made: tuple[Path, Series, np.ndarray]) -> None:
    path, series, _labels = made
    assert is_layer(path)
    assert not is_layer(series.files[0])
    with pytest.raises(BadInput, match="neither"):
        read_layers(series.files[0], series)


def test_a_series_on_another_grid_gets_it_resampled(made: tuple[Path, Series, np.ndarray], tmp_path: Path) -> None:
    path, _series, labels = made
    from tests.reading import phantoms

    step = np.diag([1.6, 1.6, 0.7, 1.0])
    coarse = phantoms.write_nifti(
        tmp_path / "other.nii.gz", np.zeros((16, 14, 18), np.int16), cases.affine() @ step, sform=1
    )
    series = reading.scan([coarse])[0].series[0]
    first = read_layers(path, series)[0].values
    to_fine = np.argwhere(np.ones(series.shape, bool)) @ step[:3, :3].T
    inside = (np.rint(to_fine) < labels.shape).all(axis=1)
    expected = np.zeros(len(to_fine))
    expected[inside] = labels[tuple(np.rint(to_fine[inside]).astype(int).T)] == 1
    agree = (first.ravel() > 0.5) == (expected > 0)
    assert agree.mean() > 0.97
    assert abs((first > 0.5).sum() - expected.sum()) < 0.15 * expected.sum()


def test_a_series_elsewhere_gets_nothing(made: tuple[Path, Series, np.ndarray], tmp_path: Path) -> None:
    from tests.reading import phantoms

    away = cases.affine()
    away[:3, 3] += 5000
    far = phantoms.write_nifti(tmp_path / "far.nii.gz", np.zeros((16, 14, 18), np.int16), away, sform=1)
    series = reading.scan([far])[0].series[0]
    assert not any(layer.values.any() for layer in read_layers(made[0], series))


def test_claims_that_cannot_be_true_are_refused(made: tuple[Path, Series, np.ndarray], tmp_path: Path) -> None:
    path, series, _labels = made

    def refused(change: object) -> str:
        dataset = dcmread(path)
        change(dataset)  # type: ignore[operator]
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = fresh()
        dataset.save_as(tmp_path / "bad.dcm")
        with pytest.raises(BadInput) as told:
            read_layers(tmp_path / "bad.dcm", series)
        return str(told.value)

    assert "all of its frames" in refused(lambda one: setattr(one, "NumberOfFrames", "7000"))
    assert "all of its frames" in refused(lambda one: delattr(one, "PerFrameFunctionalGroupsSequence"))

    def far_apart(one: object) -> None:
        groups = one.PerFrameFunctionalGroupsSequence  # type: ignore[attr-defined]
        groups[0].PlanePositionSequence[0].ImagePositionPatient = [0.123, 0.4, 1e12]

    assert "memory" in refused(far_apart) or "damaged" in refused(far_apart)


def test_damaged_bytes_never_get_past_the_border(made: tuple[Path, Series, np.ndarray], tmp_path: Path) -> None:
    path, series, _labels = made
    sound, rng = path.read_bytes(), np.random.default_rng(5)
    read = refused = 0
    for number in range(120):
        damaged = bytearray(sound[: rng.integers(200, len(sound))] if number % 4 == 0 else sound)
        for place in rng.integers(132, len(damaged), rng.integers(1, 12)):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / "damaged.dcm").write_bytes(damaged)
        try:
            layers = read_layers(tmp_path / "damaged.dcm", series)
            assert all(layer.values.shape == series.shape for layer in layers)
            read += 1
        except BadInput:
            refused += 1
    assert read + refused == 120
    assert refused > 20
