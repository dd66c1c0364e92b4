"""What the doctor tries in child processes: `python -m brainviewer.doctor.probes NAME` prints its facts as JSON."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray


def torch() -> dict[str, Any]:
    """Version of torch and the graphics card it can compute on."""
    import torch

    facts: dict[str, Any] = {"version": torch.__version__, "built_for_cuda": torch.version.cuda, "device": None}
    if torch.cuda.is_available():
        torch.ones(8, device="cuda").sum().item()  # a card that is seen may still not compute
        facts["device"] = torch.cuda.get_device_name(0)
        facts["memory_gb"] = round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1)
    return facts


def opengl() -> dict[str, Any]:
    """The OpenGL renderer that VTK gets, after drawing with it."""
    import vtkmodules.vtkRenderingOpenGL2  # noqa: F401 - registers the OpenGL classes
    from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow

    window = vtkRenderWindow()
    window.SetOffScreenRendering(True)
    window.SetSize(64, 64)
    window.AddRenderer(vtkRenderer())
    window.Render()
    lines = window.ReportCapabilities().splitlines()
    return {name: _after(f"OpenGL {name} string:", lines) for name in ("renderer", "version", "vendor")}


def _after(label: str, lines: list[str]) -> str:
    found = [line.split(label, 1)[1].strip() for line in lines if label in line]
    return found[0] if found else ""


def qt() -> dict[str, Any]:
    """The platform on which Qt shows windows, and its screen."""
    from PySide6.QtCore import qVersion
    from PySide6.QtGui import QGuiApplication

    application = QGuiApplication([])
    screen = application.primaryScreen()
    size = screen.size()
    return {
        "platform": application.platformName(),
        "version": qVersion(),
        "screen": f"{size.width()} x {size.height()}, scale {screen.devicePixelRatio():g}",
    }


def codecs() -> dict[str, Any]:
    """For each DICOM compression: None when a small picture survives the round trip, else why not."""
    row = np.arange(64, dtype=np.uint8)
    picture = np.add.outer(row, row)
    tries = {
        "RLE": ("1.2.840.10008.1.2.5", _rle, 0),
        "JPEG baseline": ("1.2.840.10008.1.2.4.50", lambda p: _pillow(p, "JPEG", quality=95), 4),
        "JPEG-LS": ("1.2.840.10008.1.2.4.80", _jpeg_ls, 0),
        "JPEG 2000": ("1.2.840.10008.1.2.4.90", lambda p: _pillow(p, "JPEG2000", irreversible=False, no_jp2=True), 0),
        "JPEG lossless": ("1.2.840.10008.1.2.4.70", None, 0),
    }
    faults = {name: _fault(picture, *how) for name, how in tries.items()}
    return {**faults, "HTJ2K": _missing("openjpeg")}  # decoded without pydicom's help


def _missing(module: str) -> str | None:
    return None if importlib.util.find_spec(module) else f"the package {module} is missing"


def _fault(picture: NDArray[np.uint8], syntax: str, encode: Any, tolerance: int) -> str | None:
    from pydicom.pixels.decoders.base import get_decoder

    try:
        decoder = get_decoder(syntax)
        if not decoder.is_available:
            return f"needs one of: {'; '.join(decoder.missing_dependencies)}"
        if encode is None:
            return None
        decoded = decoder.as_array(_dataset(encode(picture), syntax))[0]
    except Exception as error:  # noqa: BLE001 - whatever a codec raises is the finding
        return f"{type(error).__name__}: {error}"
    off = int(np.abs(decoded.astype(int) - picture).max())
    return None if off <= tolerance else f"decodes wrongly: grey levels are off by up to {off}"


def _dataset(frame: bytes, syntax: str) -> Any:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.Rows = dataset.Columns = 64
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    return dataset


def _rle(picture: NDArray[np.uint8]) -> bytes:
    from pydicom.pixels.encoders.base import get_encoder

    return bytes(
        get_encoder("1.2.840.10008.1.2.5").encode(
            picture,
            rows=64,
            columns=64,
            samples_per_pixel=1,
            number_of_frames=1,
            bits_allocated=8,
            bits_stored=8,
            pixel_representation=0,
            photometric_interpretation="MONOCHROME2",
        )
    )


def _pillow(picture: NDArray[np.uint8], form: str, **options: Any) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, form, **options)
    return stream.getvalue()


def _jpeg_ls(picture: NDArray[np.uint8]) -> bytes:
    import jpeg_ls

    return bytes(jpeg_ls.encode_array(picture))


PROBES = {probe.__name__: probe for probe in (torch, opengl, qt, codecs)}

if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(PROBES[sys.argv[1]]()) + "\n")
