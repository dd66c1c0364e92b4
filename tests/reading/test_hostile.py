"""Damaged, lying and hostile files: one sentence each, soon, and never at the cost of the sound ones beside them."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from brainviewer import reading
from engines import BadInput, KnownError
from tests.reading import phantoms

PIXELS = np.arange(20 * 16, dtype=np.uint16).reshape(20, 16)
AXIAL = phantoms.LPS @ np.diag([1.0, 1.0, 2.0, 1.0])

pytestmark = pytest.mark.timeout(60)


def file_bytes(dataset: pydicom.FileDataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def truncated() -> bytes:
    return file_bytes(phantoms.slice_dataset(PIXELS))[:-200]


def header_only() -> bytes:
    return file_bytes(phantoms.slice_dataset(PIXELS))[:300]


def lying_rows() -> bytes:
    dataset = phantoms.slice_dataset(PIXELS)
    dataset.Rows = dataset.Columns = 65535
    return file_bytes(dataset)


def lying_frames() -> bytes:
    dataset = phantoms.slice_dataset(PIXELS)
    dataset.NumberOfFrames = 2_000_000_000
    return file_bytes(dataset)


def zero_rows() -> bytes:
    dataset = phantoms.slice_dataset(PIXELS)
    dataset.Rows = 0
    return file_bytes(dataset)


def lying_rows_with_rle() -> bytes:
    dataset = phantoms.slice_dataset(PIXELS)
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.Rows = dataset.Columns = 20000
    return file_bytes(dataset)


def lying_rows_with_jpeg_ls() -> bytes:
    dataset = phantoms.slice_dataset(PIXELS)
    dataset.compress(JPEGLSLossless, generate_instance_uid=False)
    dataset.Rows = dataset.Columns = 20000
    return file_bytes(dataset)


def jpeg_2000_of_another_size() -> bytes:
    dataset, buffer = phantoms.slice_dataset(PIXELS), io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG2000", irreversible=False, no_jp2=True)
    stream = bytearray(buffer.getvalue())
    stream[8:16] = struct.pack(">2I", 60000, 60000)
    phantoms.set_compressed(dataset, JPEG2000Lossless, bytes(stream))
    return file_bytes(dataset)


def jpeg_of_another_size() -> bytes:
    dataset, buffer = phantoms.slice_dataset(PIXELS.astype(np.uint8)), io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(buffer, "JPEG")
    phantoms.set_compressed(dataset, JPEGBaseline8Bit, buffer.getvalue())
    return file_bytes(dataset)


def empty_stream() -> bytes:
    dataset = phantoms.slice_dataset(PIXELS)
    phantoms.set_compressed(dataset, JPEG2000Lossless, b"\0\0")
    return file_bytes(dataset)


def deflated_bomb() -> bytes:
    """285 KB that inflate to 300 MB, all of it in one element before the pixels."""
    dataset = phantoms.slice_dataset(PIXELS)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    whole = file_bytes(dataset)
    start = 132 + 12 + struct.unpack("<I", whole[140:144])[0]
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    filler = b"\x08\x00\x16\x00UI\x02\x001\0" + b"\x09\x00\x10\x10OB\0\0" + struct.pack("<I", 300_000_000)
    return whole[:start] + packer.compress(filler + bytes(300_000_000)) + packer.flush()


def deflated_bomb_of_pixels() -> bytes:
    """A small picture by its header, 300 MB of pixel data."""
    dataset = phantoms.slice_dataset(PIXELS)
    plain = file_bytes(dataset)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    whole = file_bytes(dataset)
    start = 132 + 12 + struct.unpack("<I", whole[140:144])[0]
    body = plain[132 + 12 + struct.unpack("<I", plain[140:144])[0] :]
    body = body[: -len(PIXELS.tobytes()) - 4] + struct.pack("<I", 300_000_000)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return whole[:start] + packer.compress(body + bytes(300_000_000)) + packer.flush()


def element_of_four_gigabytes() -> bytes:
    dataset = phantoms.slice_dataset(PIXELS)
    dataset.add_new(0x00090010, "LO", "nobody")
    dataset.add_new(0x00091001, "OB", b"hello!")
    return file_bytes(dataset).replace(b"OB\0\0\x06\0\0\0hello!", b"OB\0\0\xf0\xff\xff\xffhello!")


def element_of_four_gigabytes_that_is_read() -> bytes:
    dataset = phantoms.slice_dataset(PIXELS)
    return file_bytes(dataset).replace(b"PN\x08\0Doe^Jane", b"UN\0\0\xf0\xff\xff\xffDoe^Jane")


def garbage_after_magic() -> bytes:
    return b"\0" * 128 + b"DICM" + random.Random(5).randbytes(4000)


def frames_without_groups() -> bytes:
    values, affine = phantoms.phantom()
    dataset = phantoms.enhanced_dataset(values, affine)
    del dataset.PerFrameFunctionalGroupsSequence[2:]
    return file_bytes(dataset)


HOSTILE: list[Callable[[], bytes]] = [
    truncated,
    header_only,
    lying_rows,
    lying_frames,
    zero_rows,
    lying_rows_with_rle,
    lying_rows_with_jpeg_ls,
    jpeg_2000_of_another_size,
    jpeg_of_another_size,
    empty_stream,
    deflated_bomb,
    deflated_bomb_of_pixels,
    element_of_four_gigabytes,
    element_of_four_gigabytes_that_is_read,
    garbage_after_magic,
    frames_without_groups,
    lambda: phantoms.nested_sequences(300),
    lambda: phantoms.nested_sequences(20_000),
]


def open_fully(path: Path) -> None:
    for study in reading.scan([path]):
        for series in study.series:
            reading.load(series)


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_dicom_file_costs_one_sentence(make: Callable[[], bytes], tmp_path: Path) -> None:
    path = tmp_path / "hostile.dcm"
    path.write_bytes(make())
    tracemalloc.start()
    with pytest.raises(BadInput, match=r"^hostile\.dcm [^\n]*\.$") as caught:
        open_fully(path)
    assert "Doe" not in str(caught.value)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150e6


@pytest.mark.parametrize("make", HOSTILE[:5], ids=lambda make: make.__name__)
def test_the_sound_files_beside_it_still_open(make: Callable[[], bytes], tmp_path: Path) -> None:
    values, affine = phantoms.phantom()
    folder = phantoms.write_series(tmp_path / "series", values, affine, uids=("9.9", "9.9.9"))
    (folder / "hostile.dcm").write_bytes(make())
    (study,) = reading.scan([folder])
    assert len(study.problems) == 1
    assert study.problems[0].startswith("hostile.dcm ")
    phantoms.assert_values_lie_where_they_belong(
        reading.load(study.series[0]).voxels, np.asarray(study.series[0].affine)
    )


def test_one_bad_slice_is_left_empty_for_the_viewer_and_refused_for_engines(tmp_path: Path) -> None:
    values = np.full((16, 20, 5), 7, np.uint16)

    def spoil(dataset: pydicom.Dataset, k: int) -> None:
        dataset.compress(RLELossless, generate_instance_uid=False)
        if k == 3:
            phantoms.set_compressed(dataset, RLELossless, b"\x01" + bytes(63) + b"\x05" * 40)

    (study,) = reading.scan([phantoms.write_series(tmp_path / "s", values, AXIAL, spoil)])
    said: list[str] = []
    loaded = reading.read(study.series[0], lambda _done, _total, text: said.append(text))

    assert [loaded.volume.voxels[3, 3, k] for k in (0, 1, 2, 4)] == [7, 7, 7, 7]
    (problem,) = loaded.problems
    assert problem.startswith("Slice 4 is left empty: IM")
    assert problem in said
    with pytest.raises(BadInput, match="1 of 5 slices cannot be decoded"):
        reading.load(study.series[0])


def test_a_pixel_format_of_odd_length_is_damage(tmp_path: Path) -> None:
    # Found by mutation: the header scan reads US leniently, the decoder must not leak pydicom's own error.
    path = tmp_path / "odd.dcm"
    path.write_bytes(
        file_bytes(phantoms.slice_dataset(PIXELS)).replace(b"\x28\0\x01\x01US\x02\0", b"\x28\0\x01\x01US\x03\0")
    )
    with pytest.raises(BadInput):
        open_fully(path)


def test_library_log_lines_stay_inside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = bytearray(nifti_bytes())
    struct.pack_into("<2h", data, 252, 59, 60)  # impossible qform and sform codes, which nibabel logs
    path = tmp_path / "codes.nii"
    path.write_bytes(data)
    (study,) = reading.scan([path])
    reading.load(study.series[0])
    assert caplog.records == []


def test_mutated_headers_raise_one_type_only(tmp_path: Path) -> None:
    sound = file_bytes(phantoms.slice_dataset(PIXELS))
    chance = random.Random(11)
    path = tmp_path / "mutated.dcm"
    for _ in range(400):
        mutant = bytearray(sound)
        for _ in range(chance.randint(1, 12)):
            mutant[chance.randrange(128, len(mutant) - 640)] = chance.randrange(256)
        path.write_bytes(mutant)
        try:
            open_fully(path)
        except KnownError as error:
            assert error.message  # noqa: PT017 - sound mutants are fine as well


def rle() -> pydicom.FileDataset:
    dataset = phantoms.slice_dataset(PIXELS)
    dataset.compress(RLELossless, generate_instance_uid=False)
    return dataset


def jpeg_ls() -> pydicom.FileDataset:
    dataset = phantoms.slice_dataset(PIXELS)
    dataset.compress(JPEGLSLossless, generate_instance_uid=False)
    return dataset


def jpeg_2000() -> pydicom.FileDataset:
    dataset, buffer = phantoms.slice_dataset(PIXELS), io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG2000", irreversible=False, no_jp2=True)
    phantoms.set_compressed(dataset, JPEG2000Lossless, buffer.getvalue())
    return dataset


def test_mutated_streams_raise_one_type_only(tmp_path: Path) -> None:
    chance = random.Random(12)
    path = tmp_path / "mutated.dcm"
    for compress in (rle, jpeg_ls, jpeg_2000):
        sound = file_bytes(compress())
        for _ in range(60):
            mutant = bytearray(sound)
            for _ in range(chance.randint(1, 6)):
                mutant[chance.randrange(len(mutant) - 300, len(mutant))] = chance.randrange(256)
            path.write_bytes(mutant)
            try:
                open_fully(path)
            except KnownError as error:
                assert error.message  # noqa: PT017


def nifti_bytes(**header: object) -> bytes:
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.float32), np.eye(4))
    return image.to_bytes()


def claims_terabytes() -> bytes:
    data = bytearray(nifti_bytes())
    struct.pack_into("<8h", data, 40, 3, 30000, 30000, 30000, 1, 1, 1, 1)
    return bytes(data)


def claims_many_volumes() -> bytes:
    data = bytearray(nifti_bytes())
    struct.pack_into("<8h", data, 40, 7, 1, 1, 1, 30000, 30000, 30000, 1)
    return bytes(data)


def negative_shape() -> bytes:
    data = bytearray(nifti_bytes())
    struct.pack_into("<8h", data, 40, 3, -4, 5, 6, 1, 1, 1, 1)
    return bytes(data)


@pytest.mark.parametrize(
    "make",
    [
        claims_terabytes,
        claims_many_volumes,
        negative_shape,
        lambda: nifti_bytes()[:-40],
        lambda: nifti_bytes()[:200],
        lambda: b"",
        lambda: random.Random(3).randbytes(1_000_000),
    ],
    ids=["terabytes", "volumes", "negative", "truncated", "header only", "empty", "random"],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_hostile_nifti_file_costs_one_sentence(make: Callable[[], bytes], suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"hostile{suffix}"
    data = make()
    path.write_bytes(zlib_gzip(data) if suffix == ".nii.gz" else data)
    with pytest.raises(BadInput, match=r"^hostile\.nii[^\n]*\.$"):
        open_fully(path)


def zlib_gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return packer.compress(data) + packer.flush()


def test_a_cut_gzip_costs_one_sentence(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(20, 20, 20))
    path = phantoms.write_nifti(tmp_path / "cut.nii.gz", noise, np.eye(4), sform=1)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(BadInput, match=r"^cut\.nii\.gz is (damaged|cut short)"):
        open_fully(path)


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.dcm", "x", "x.zip", "DICOMDIR"])
@pytest.mark.parametrize("size", [0, 10, 1_000_000])
def test_random_bytes_under_any_name_are_refused_in_one_sentence(name: str, size: int, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(random.Random(size).randbytes(size))
    with pytest.raises(BadInput) as caught:
        open_fully(path)
    assert caught.value.message.endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("head", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"PK\x03\x04"])
def test_random_bytes_behind_a_magic_number_are_refused(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(head + random.Random(2).randbytes(5000))
    with pytest.raises(BadInput, match=r"^x is damaged"):
        open_fully(path)


def test_a_cut_picture_costs_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(BadInput, match=r"^cut\.png is damaged"):
        open_fully(path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gone cannot be opened: no such file"):
        reading.scan([tmp_path / "gone"])
    with pytest.raises(BadInput, match="holds no image series"):
        reading.scan([tmp_path])


def test_a_scan_of_more_than_the_memory_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    values, affine = phantoms.phantom()
    (study,) = reading.scan([phantoms.write_series(tmp_path / "s", values, affine)])
    from dataclasses import replace

    huge = replace(study.series[0], shape=(60000, 60000, 5))
    with pytest.raises(BadInput, match="of memory are free"):
        reading.load(huge)
