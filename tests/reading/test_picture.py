"""PNG and JPEG pictures: values, upright, uncalibrated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brainviewer import reading
from tests.reading.test_geometry import only_series

GREY = np.add.outer(np.arange(20) * 10, np.arange(30)).astype(np.uint8)  # (rows, columns)


def test_a_picture_stands_as_stored(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "fundus.png")
    series = only_series(tmp_path / "fundus.png")
    volume = reading.load(series)
    assert series.shape == (30, 20, 1)
    np.testing.assert_array_equal(volume.voxels[:, :, 0].T, GREY)
    # Columns run to the patient's left and rows to the back, as in an axial slice: seen radiologically, upright.
    assert volume.affine[0, 0] < 0 > volume.affine[1, 1]
    assert not volume.calibrated
    assert "no pixel size" in series.warnings[0]
    thumbnail = reading.thumbnail(series, 30)
    assert thumbnail.shape == (20, 30)
    assert thumbnail[0].mean() < thumbnail[-1].mean()
    assert thumbnail[:, 0].mean() < thumbnail[:, -1].mean()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA", "CMYK"])
def test_colours_become_luminance(mode: str, tmp_path: Path) -> None:
    name = "x.jpg" if mode == "CMYK" else "x.png"
    grey = Image.fromarray(GREY)
    (grey.convert("P") if mode == "P" else grey.convert("RGB").convert(mode)).save(tmp_path / name)
    values = reading.load(only_series(tmp_path / name)).voxels[:, :, 0].T
    assert np.abs(values - GREY).max() < (8 if mode == "CMYK" else 1)


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    deep = GREY.astype(np.uint16) * 200
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(reading.load(only_series(tmp_path / "deep.png")).voxels[:, :, 0].T, deep)


def test_a_turned_camera_is_turned_back(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held a quarter turn to the left
    Image.fromarray(GREY).save(tmp_path / "turned.png", exif=exif)
    series = only_series(tmp_path / "turned.png")
    assert series.shape == (20, 30, 1)
    np.testing.assert_array_equal(reading.load(series).voxels[:, :, 0].T, np.rot90(GREY, -1))


def test_real_pictures(data_dir: Path) -> None:
    studies = reading.scan([data_dir / "cxr"])
    series = [one for study in studies for one in study.series]
    assert len(series) == 550
    assert all(one.shape == (256, 256, 1) and not one.calibrated for one in series)
    assert all(study.problems == () for study in studies)
    assert reading.load(series[0]).voxels.max() > 100
