"""Open one DICOM file without trusting it: recognise it, cap inflation, read only the wanted elements."""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import dcmread, read_dataset, read_file_meta_info
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from brainviewer.reading.dicom_values import tag_of
from brainviewer.reading.trouble import damage_reported, quiet_libraries
from engines import BadInput

MAGIC_AT = 128
SNIFF_BYTES = 144
META_BYTES = 4096
READ_AHEAD = 16 * 1024
# All headers we read fit; a deflated bomb never gets further while scanning.
HEADER_INFLATED = 32 * 2**20
PREAMBLE = 132


def is_dicom(head: bytes, size: int) -> bool:
    """True for the DICM magic, or for a headerless file whose first element is a plausible one."""
    if head[MAGIC_AT : MAGIC_AT + 4] == b"DICM":
        return True
    return _plausible_first_element(head, size)


def _plausible_first_element(head: bytes, size: int) -> bool:
    if len(head) < 8 or size < PREAMBLE:
        return False
    group, element, length = struct.unpack("<HHI", head[:8])
    if group not in (0x0002, 0x0008) or element > 0x0070:
        return False
    explicit = head[4:6] in (b"UL", b"UI", b"CS", b"SH", b"DA", b"TM", b"OB", b"LO")
    return explicit or (length % 2 == 0 and length <= min(size, 256))


class _HonestFile(io.BufferedReader):
    """A file that never allocates more than it holds, whatever length an element claims."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path), READ_AHEAD)
        self.path = path
        self.size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """As usual, but a claim beyond the file's own size is cut."""
        return super().read(self.size if size is not None and size > self.size else size)


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """No validation of values nobody reads: faster, and quiet."""
    settings = pydicom.config.settings
    before = settings.reading_validation_mode
    settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        with quiet_libraries():
            yield
    finally:
        settings.reading_validation_mode = before


def read_header(path: Path, tags: Sequence[str]) -> tuple[Dataset, int]:
    """The named elements before the pixels, and how many bytes of the file are left for those. Raises BadInput.

    What a deflated file has left is not known before it is inflated: a very large number.
    """
    with damage_reported(path, "header"), _HonestFile(path) as file:
        if _is_deflated(file):
            return _read_deflated(file, tags, HEADER_INFLATED, cut_is_fine=True), sys.maxsize
        dataset = dcmread(file, stop_before_pixels=True, force=True, specific_tags=_tags(tags, False))
        return dataset, file.size - file.tell()


def read_with_pixels(path: Path, tags: Sequence[str], pixel_bytes: int) -> Dataset:
    """The named elements and the pixel data, ready for a decoder. Raises BadInput.

    pixel_bytes: what the header promised, the most a deflated file may grow to (and its header beside).
    """
    with damage_reported(path, "pixel data"):
        with _HonestFile(path) as file:
            if _is_deflated(file):
                return _read_deflated(file, tags, pixel_bytes + HEADER_INFLATED, cut_is_fine=False)
            dataset = dcmread(file, force=True, specific_tags=_tags(tags, True))
        if "TransferSyntaxUID" not in dataset.file_meta:
            implicit, _little = dataset.original_encoding
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        return dataset


def _is_deflated(file: _HonestFile) -> bool:
    """True where the data set is deflated, found without inflating anything; leaves the file at its start."""
    head = file.read(META_BYTES)
    file.seek(0)
    if head[MAGIC_AT : MAGIC_AT + 4] != b"DICM":
        return False
    # File meta begins with its own length, so a short read tells whether the syntax lies within it.
    first = head[PREAMBLE : PREAMBLE + 12]
    within = first[:4] == b"\x02\x00\x00\x00" and PREAMBLE + 12 + struct.unpack("<I", first[8:12])[0] <= len(head)
    if (within or len(head) < META_BYTES) and DeflatedExplicitVRLittleEndian.encode() not in head:
        return False
    return bool(read_file_meta_info(file.path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian)


def _read_deflated(file: _HonestFile, tags: Sequence[str], limit: int, *, cut_is_fine: bool) -> Dataset:
    """Inflate at most limit bytes, then read them as explicit little endian."""
    meta = read_file_meta_info(file.path)
    file.seek(PREAMBLE + 12 + int(meta.get("FileMetaInformationGroupLength", 0)))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflater.decompress(file.read(), limit)
    if not cut_is_fine and inflater.unconsumed_tail:
        raise BadInput(f"{file.path.name} inflates to more than its header promises ({limit / 1e6:.0f} MB).")
    wanted = None if not cut_is_fine else _at_pixels
    dataset = read_dataset(BytesIO(data), False, True, stop_when=wanted, specific_tags=_tags(tags, not cut_is_fine))
    dataset.file_meta = FileMetaDataset(meta)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.set_original_encoding(False, True)
    return dataset


def _at_pixels(tag: object, _vr: str | None, _length: int) -> bool:
    return tag in (0x7FE00008, 0x7FE00009, 0x7FE00010)


def _tags(keywords: Sequence[str], pixels: bool) -> list[BaseTag | int]:
    return [tag_of(keyword) for keyword in (*keywords, *(("PixelData",) if pixels else ()))]
