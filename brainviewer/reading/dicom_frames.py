"""Decode one DICOM frame to float32 values. Codecs in the order of trust: pydicom, Pillow, pyjpegls, openjpeg.

Python-gdcm is the only decoder of lossless JPEG; it aborts on some damaged files, which is one reason why
decoding runs in the reading worker.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from brainviewer.reading.trouble import damage_reported
from engines import BadInput

Values = NDArray[np.float32]

PIXEL_TAGS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "ModalityLUTSequence",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
)
# Which pydicom plugin decodes a transfer syntax; "" leaves the choice to pydicom (uncompressed data).
PLUGINS = {
    RLELossless: "pydicom",
    JPEGBaseline8Bit: "pillow",
    JPEGExtended12Bit: "pillow",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pillow",
    JPEG2000: "pillow",
    JPEGLossless: "gdcm",
    JPEGLosslessSV1: "gdcm",
}
HIGH_THROUGHPUT = (HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL)
# Rec. 601: how bright red, green and blue look.
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
RLE_BEST_RATIO = 64


def codec_problem(syntax: str, bits_stored: int) -> tuple[str, str]:
    """(sentence, remedy) where the pixels of this transfer syntax cannot be decoded here, else two empty texts."""
    uid = UID(syntax)
    twelve_bits = uid == JPEGExtended12Bit and bits_stored > 8
    plugin = "gdcm" if twelve_bits else PLUGINS.get(uid, "")
    if not uid or uid in HIGH_THROUGHPUT or uid.is_transfer_syntax and not uid.is_encapsulated:
        return "", ""
    try:
        available = get_decoder(uid).available_plugins
    except NotImplementedError:
        return f"Its pixels are stored as {uid.name}, which BrainViewer does not read.", "Export it uncompressed."
    if plugin in available:
        return "", ""
    name = "12-bit JPEG" if twelve_bits else uid.name.split(",")[0]
    return f"Its pixels are {name}, which needs the optional codec python-gdcm.", "Run: pip install python-gdcm"


def decode(dataset: Dataset, number: int, path: Path) -> Values:
    """One frame as float32 (rows, columns): modality table applied, colour as luminance, not yet rescaled."""
    with damage_reported(path, "picture"):
        syntax = dataset.file_meta.TransferSyntaxUID
        if syntax.is_encapsulated:
            _check_stream(dataset, number, path)
        values = _high_throughput(dataset, number) if syntax in HIGH_THROUGHPUT else _plain(dataset, number, syntax)
        if values.ndim == 3:  # (rows, columns, red green blue)
            return (values.astype(np.float32) @ LUMINANCE).astype(np.float32)
        values = _used_bits(values, dataset)
        if dataset.get("ModalityLUTSequence"):
            values = apply_modality_lut(values, dataset)
        return values.astype(np.float32)


def _plain(dataset: Dataset, number: int, syntax: UID) -> NDArray[np.generic]:
    colour = str(dataset.PhotometricInterpretation)
    plugin = PLUGINS.get(syntax, "")
    if syntax == JPEGExtended12Bit and dataset.BitsStored > 8:
        plugin = "gdcm"
    decoder = get_decoder(syntax)
    # raw=False turns YBR into RGB.
    values, _ = decoder.as_array(dataset, index=number, raw=dataset.SamplesPerPixel == 1, decoding_plugin=plugin)
    if colour == "PALETTE COLOR":
        return apply_color_lut(values, dataset)[..., :3]
    return values


def _high_throughput(dataset: Dataset, number: int) -> NDArray[np.generic]:
    """WORKAROUND: pydicom reaches openjpeg only through the package pylibjpeg, which we do not need otherwise."""
    import openjpeg

    stream = get_frame(dataset.PixelData, number, number_of_frames=_frames(dataset))
    return np.asarray(openjpeg.decode(stream, 0))


def _used_bits(values: NDArray[np.generic], dataset: Dataset) -> NDArray[np.generic]:
    """Drop overlay bits above (or below) the stored ones, and extend the sign."""
    allocated, stored = values.dtype.itemsize * 8, int(dataset.BitsStored)
    high = int(dataset.get("HighBit", stored - 1))
    if values.dtype.kind not in "iu" or stored >= allocated or not stored - 1 <= high < allocated:
        return values
    return (values << (allocated - 1 - high)) >> (allocated - stored)  # type: ignore[operator, no-any-return]


def _frames(dataset: Dataset) -> int:
    return int(dataset.get("NumberOfFrames") or 1)


def _check_stream(dataset: Dataset, number: int, path: Path) -> None:
    """The compressed stream must be as large as the header says: a codec trusts the stream and allocates it."""
    stream = get_frame(dataset.PixelData, number, number_of_frames=_frames(dataset))
    syntax, rows, columns = dataset.file_meta.TransferSyntaxUID, int(dataset.Rows), int(dataset.Columns)
    if syntax == RLELossless:
        if rows * columns > len(stream) * RLE_BEST_RATIO:
            raise BadInput(f"{path.name} is damaged: {len(stream)} bytes cannot hold {columns} x {rows} pixels.")
        return
    found = stream_size(stream)
    if found != (columns, rows):
        said = "no picture size" if found is None else f"{found[0]} x {found[1]} pixels"
        raise BadInput(f"{path.name} is damaged: its header says {columns} x {rows} pixels, its picture has {said}.")


def stream_size(stream: bytes) -> tuple[int, int] | None:
    """(columns, rows) written in a JPEG, JPEG-LS or JPEG 2000 stream; None where there is none."""
    if stream[:4] == b"\x00\x00\x00\x0c":  # a JP2 file around the code stream
        stream = stream[max(0, stream.find(b"\xff\x4f\xff\x51")) :]
    if stream[:4] == b"\xff\x4f\xff\x51" and len(stream) >= 24:
        width, height, left, top = struct.unpack(">4I", stream[8:24])
        return width - left, height - top
    return _jpeg_size(stream) if stream[:2] == b"\xff\xd8" else None


def _jpeg_size(stream: bytes) -> tuple[int, int] | None:
    """Walk the JPEG segments to the start of frame (SOF0-15, or SOF55 of JPEG-LS)."""
    place = 2
    while place + 9 <= len(stream):
        if stream[place] != 0xFF:
            return None
        marker = stream[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        if marker == 0xF7 or 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">2H", stream[place + 5 : place + 9])
            return width, height
        place += 2 + int(struct.unpack(">H", stream[place + 2 : place + 4])[0])
    return None
