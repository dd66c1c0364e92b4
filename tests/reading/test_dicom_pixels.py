"""Pixel values: every transfer syntax, sign, rescale, inversion, colour."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from brainviewer import reading
from brainviewer.study import Series
from engines import BadInput
from tests.reading import phantoms

PIXELS = (np.add.outer(np.arange(24) ** 2, np.arange(17) * 7) % 4000).astype(np.uint16)  # (rows, columns)


def loaded(dataset: FileDataset, folder: Path) -> tuple[Series, np.ndarray]:
    """The series of a one-slice file, and its values as (rows, columns)."""
    (study,) = reading.scan([phantoms.save(dataset, folder / "one.dcm")])
    (series,) = study.series
    return series, reading.load(series).voxels[:, :, 0].T


def uncompressed(syntax: str) -> Callable[[FileDataset], None]:
    def change(dataset: FileDataset) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()

    return change


def compress(syntax: str) -> Callable[[FileDataset], None]:
    def change(dataset: FileDataset) -> None:
        dataset.compress(syntax, generate_instance_uid=False)

    return change


def jpeg_2000(dataset: FileDataset) -> None:
    buffer = io.BytesIO()
    pixels = np.frombuffer(dataset.PixelData, np.uint16).reshape(dataset.Rows, dataset.Columns)
    Image.fromarray(pixels).save(buffer, "JPEG2000", irreversible=False, no_jp2=True)
    phantoms.set_compressed(dataset, JPEG2000Lossless, buffer.getvalue())


@pytest.mark.parametrize(
    "change",
    [
        uncompressed(ImplicitVRLittleEndian),
        uncompressed(ExplicitVRLittleEndian),
        uncompressed(ExplicitVRBigEndian),
        uncompressed(DeflatedExplicitVRLittleEndian),
        compress(RLELossless),
        compress(JPEGLSLossless),
        jpeg_2000,
    ],
    ids=["implicit", "explicit", "big endian", "deflated", "RLE", "JPEG-LS", "JPEG 2000"],
)
def test_lossless_syntaxes_return_the_stored_values(change: Callable[[FileDataset], None], tmp_path: Path) -> None:
    dataset = phantoms.slice_dataset(PIXELS)
    change(dataset)
    _series, values = loaded(dataset, tmp_path)
    np.testing.assert_array_equal(values, PIXELS)


def test_jpeg_baseline_is_near_the_original(tmp_path: Path) -> None:
    pixels = np.add.outer(np.arange(32) * 3, np.arange(48) * 2).astype(np.uint8)
    dataset, buffer = phantoms.slice_dataset(pixels), io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    phantoms.set_compressed(dataset, JPEGBaseline8Bit, buffer.getvalue())
    _series, values = loaded(dataset, tmp_path)
    assert np.abs(values - pixels).max() <= 4


def test_headerless_file_is_read(tmp_path: Path) -> None:
    dataset = phantoms.slice_dataset(PIXELS)
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = True, True
    pydicom.filewriter.write_dataset(buffer, pydicom.Dataset(dataset))
    path = tmp_path / "headerless"
    path.write_bytes(buffer.getvalue())
    (study,) = reading.scan([tmp_path])
    np.testing.assert_array_equal(reading.load(study.series[0]).voxels[:, :, 0].T, PIXELS)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless])
def test_signed_values_keep_their_sign(syntax: str, tmp_path: Path) -> None:
    pixels = (PIXELS.astype(np.int16) - 2000).astype(np.int16)
    dataset = phantoms.slice_dataset(pixels)
    if syntax != ExplicitVRLittleEndian:
        dataset.compress(syntax, generate_instance_uid=False)
    _series, values = loaded(dataset, tmp_path)
    np.testing.assert_array_equal(values, pixels)


def test_twelve_bit_sign_and_overlay_bits(tmp_path: Path) -> None:
    # 12 of 16 bits stored, two's complement in 12 bits, an overlay in bit 15.
    true = (PIXELS.astype(int) % 4096) - 2048
    dataset = phantoms.slice_dataset(((true & 0x0FFF) | (PIXELS.astype(int) % 2 << 15)).astype(np.uint16))
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 1
    _series, values = loaded(dataset, tmp_path)
    np.testing.assert_array_equal(values, true)


def test_rescale_slope_and_intercept(tmp_path: Path) -> None:
    dataset = phantoms.slice_dataset(PIXELS, kind="CT")
    dataset.RescaleSlope, dataset.RescaleIntercept = "0.5", "-1024"
    series, values = loaded(dataset, tmp_path)
    np.testing.assert_allclose(values, PIXELS * 0.5 - 1024)
    assert series.modality == "CT"


def test_philips_private_scale_is_left_alone(tmp_path: Path) -> None:
    dataset = phantoms.slice_dataset(PIXELS)
    block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    block.add_new(0x0E, "FL", 0.01)
    dataset.RescaleSlope, dataset.RescaleIntercept = "2", "0"
    np.testing.assert_allclose(loaded(dataset, tmp_path)[1], PIXELS * 2.0)


def test_rescale_differs_from_frame_to_frame(tmp_path: Path) -> None:
    values, affine = phantoms.phantom()
    dataset = phantoms.enhanced_dataset(values, affine)
    (study,) = reading.scan([phantoms.save(dataset, tmp_path / "enhanced.dcm")])
    voxels = reading.load(study.series[0]).voxels
    slopes = {k: n + 1 for n, k in enumerate(np.random.default_rng(3).permutation(values.shape[2]))}
    for k in range(values.shape[2]):
        np.testing.assert_allclose(voxels[:, :, k], values[:, :, k] * float(slopes[k]))


def test_monochrome1_is_turned_and_so_is_its_window(tmp_path: Path) -> None:
    dataset = phantoms.slice_dataset(PIXELS)
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.WindowCenter, dataset.WindowWidth = "1000", "400"
    series, values = loaded(dataset, tmp_path)
    np.testing.assert_array_equal(values, 4095 - PIXELS.astype(int))
    assert series.window == (400.0, 3095.0)


def test_colour_becomes_luminance(tmp_path: Path) -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[0, 0], pixels[1, 1], pixels[2, 2] = (255, 0, 0), (0, 255, 0), (255, 255, 255)
    _series, values = loaded(phantoms.slice_dataset(pixels), tmp_path)
    assert values[0, 0] == pytest.approx(76.2, abs=0.1)
    assert values[1, 1] == pytest.approx(149.7, abs=0.1)
    assert values[2, 2] == pytest.approx(255.0, abs=0.1)


def test_lossless_jpeg_says_what_is_missing(tmp_path: Path) -> None:
    dataset = phantoms.slice_dataset(PIXELS)
    phantoms.set_compressed(dataset, JPEGLosslessSV1, b"\xff\xd8\xff\xd9")
    (study,) = reading.scan([phantoms.save(dataset, tmp_path / "one.dcm")])
    if study.series[0].warnings == ():
        pytest.skip("python-gdcm is installed")
    assert "python-gdcm" in study.series[0].warnings[0]
    with pytest.raises(BadInput, match="cannot be shown. Its pixels are JPEG Lossless") as caught:
        reading.load(study.series[0])
    assert caught.value.remedy == "Run: pip install python-gdcm"


@pytest.mark.parametrize(
    ("keyword", "size"), [("PixelSpacing", 0.5), ("ImagerPixelSpacing", 0.2), ("NominalScannedPixelSpacing", 0.1)]
)
def test_pixel_size_of_a_radiograph(keyword: str, size: float, tmp_path: Path) -> None:
    dataset = phantoms.slice_dataset(PIXELS)
    del dataset.PixelSpacing
    dataset.Modality, dataset.BodyPartExamined = "DX", "CHEST"
    setattr(dataset, keyword, [size, size])
    series, values = loaded(dataset, tmp_path)
    assert series.calibrated
    assert series.modality == "CXR"
    assert series.affine[0][0] == pytest.approx(-size)
    np.testing.assert_array_equal(values, PIXELS)  # row 0 stays at the top, column 0 at the left


def test_radiograph_without_pixel_size_is_uncalibrated(tmp_path: Path) -> None:
    dataset = phantoms.slice_dataset(PIXELS)
    del dataset.PixelSpacing
    dataset.Modality = "CR"
    series, _values = loaded(dataset, tmp_path)
    assert not series.calibrated
    assert "gives no pixel size" in series.warnings[0]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_real_lossless_codecs_agree(number: int, data_dir: Path) -> None:
    def values(syntax: str) -> np.ndarray:
        (study,) = reading.scan([data_dir / f"dicom/wg04/{syntax}/MR{number}_{syntax}"])
        return reading.load(study.series[0]).voxels

    reference = values("RLE")
    # CharLS refuses the 16-bit JPEG-LS stream of the first picture: see the test below.
    for syntax in ("J2KR", "JLSL") if number > 1 else ("J2KR",):
        np.testing.assert_array_equal(values(syntax), reference)
    spread = reference.max() - reference.min()
    for syntax in ("J2KI", "JLSN"):  # lossy: near, at the scale of each picture
        assert np.abs(values(syntax) - reference).mean() < 0.02 * spread


def test_a_picture_the_codec_refuses_costs_a_sentence_and_no_log_line(
    data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (study,) = reading.scan([data_dir / "dicom/wg04/JLSL/MR1_JLSL"])
    with pytest.raises(BadInput, match="MR1_JLSL is damaged: its picture cannot be read"):
        reading.load(study.series[0])
    assert caplog.records == []


def test_real_transfer_syntaxes_agree(data_dir: Path) -> None:
    folder = data_dir / "dicom/transfer_syntaxes"
    expected = pydicom.dcmread(folder / "1.dcm").pixel_array
    for number in (1, 2, 3, 4, 7, 8, 9):
        (study,) = reading.scan([folder / f"{number}.dcm"])
        np.testing.assert_array_equal(reading.load(study.series[0]).voxels[:, :, 0].T, expected, str(number))
