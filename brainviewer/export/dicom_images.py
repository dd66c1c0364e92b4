"""The scan's own DICOM images, de-identified where the order says so; generated where the scan is no DICOM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from brainviewer.export.dicom_source import with_pixels

if TYPE_CHECKING:
    from brainviewer.export.order import Order


def write(order: Order, folder: Path) -> None:
    """images/0001.dcm and so on, in the order of the files of the series."""
    place = folder / "images"
    place.mkdir(exist_ok=True)
    generated = order.images.images if order.images.generated else None
    files = order.source.series.files
    for number in range(len(generated or files)):
        order.report(number, len(generated or files), "Writing images")
        image = generated[number] if generated is not None else with_pixels(files[number])
        if generated is None and order.deidentifier is not None:
            image = order.deidentifier.clean(image)
        image.save_as(place / f"{number + 1:04d}.dcm", enforce_file_format=True)
