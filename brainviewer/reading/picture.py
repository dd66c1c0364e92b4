"""PNG and JPEG pictures as uncalibrated 2D series: luminance, (i, j, 1), row 0 at the top.

The affine is that of an axial supine slice in LPS: column i to the patient's left, row j to the back. Seen in
the radiological convention the picture stands as stored.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from brainviewer.reading.dicom_frames import LUMINANCE
from brainviewer.reading.fingerprint import fingerprint
from brainviewer.reading.loading import Allocate, Loaded
from brainviewer.reading.modality import from_file_name
from brainviewer.reading.trouble import damage_reported, quiet_libraries, refuse_if_too_large
from brainviewer.study import Series
from brainviewer.study.study import Affine
from engines import BadInput, Report, Volume

MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
FORMATS = ("PNG", "JPEG")
MOST_PIXELS = 200_000_000
AS_STORED: Affine = ((-1.0, 0.0, 0.0, 0.0), (0.0, -1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
ORIENTATION_TAG = 0x0112
TURNED = (5, 6, 7, 8)


def is_picture(head: bytes) -> bool:
    """True for the magic numbers of PNG and JPEG."""
    return head.startswith(MAGIC)


def scan(path: Path, name: str = "") -> list[Series]:
    """One series; only the header is read. name: what to call it where the file's own is made up."""
    with damage_reported(path, "header"), quiet_libraries(), Image.open(path, formats=FORMATS) as image:
        columns, rows = image.size
        if columns * rows > MOST_PIXELS:
            raise BadInput(f"{path.name} claims {columns} x {rows} pixels, more than any picture we read.")
        # A camera writes how it was held; the loader turns the picture upright accordingly.
        if image.getexif().get(ORIENTATION_TAG) in TURNED:
            columns, rows = rows, columns
    name = name or path.name
    return [
        Series(
            uid=fingerprint(path),
            title=Path(name).stem,
            modality=from_file_name(name),
            kind="picture",
            format="picture",
            files=(path,),
            shape=(columns, rows, 1),
            affine=AS_STORED,
            calibrated=False,
            warnings=("The picture has no pixel size: millimetres are not known.",),
        )
    ]


def load(series: Series, report: Report, allocate: Allocate) -> Loaded:
    """Luminance of the picture, turned upright."""
    path = series.files[0]
    refuse_if_too_large(int(np.prod(series.shape)), f"The picture {series.title}")
    with damage_reported(path, "picture"), quiet_libraries(), Image.open(path, formats=FORMATS) as image:
        values = _luminance(ImageOps.exif_transpose(image))
    if values.shape != (series.shape[1], series.shape[0]):
        raise BadInput(f"{path.name} has changed since it was found.", "Open it again.")
    voxels = allocate(series.shape)
    voxels[:, :, 0] = values.T
    report(1, 1, series.title)
    return Loaded(Volume(voxels, np.asarray(series.affine, float), series.modality, series.uid, calibrated=False))


def _luminance(image: Image.Image) -> NDArray[np.float32]:
    """(rows, columns). Grey pictures keep their depth (8, 16 or 32 bits)."""
    if image.mode in ("L", "I", "F") or image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.float32)
    if image.mode in ("LA", "1"):
        return np.asarray(image.convert("L")).astype(np.float32)
    return (np.asarray(image.convert("RGB")).astype(np.float32) @ LUMINANCE).astype(np.float32)
