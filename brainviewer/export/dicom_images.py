"""The scan's own DICOM images, de-identified where the order says so; generated where the scan is no DICOM."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from brainviewer.export.dicom_source import with_pixels

if TYPE_CHECKING:
    from brainviewer.export.order import Order


def write(order: Order, folder: Path) -> None:
    """images/0001.dcm and so on, in the order of the files of the series."""
    place = folder / "images"
    place.mkdir(exist_ok=True)
    files = order.source.series.files
    generated = order.images.images if order.images.generated else None
    for number in range(len(generated or files)):
        order.report(number, len(generated or files), "Writing images")
        path = place / f"{number + 1:04d}.dcm"
        if generated is not None:
            generated[number].save_as(path, enforce_file_format=True)
        elif order.deidentifier is not None:
            order.deidentifier.clean(with_pixels(files[number])).save_as(path, enforce_file_format=True)
        else:
            shutil.copyfile(files[number], path)  # byte for byte
