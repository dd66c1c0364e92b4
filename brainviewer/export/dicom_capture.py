"""DICOM Secondary Capture: the key images, for archives and viewers that show nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from brainviewer.export import coding
from brainviewer.export.dicom_seg import save
from brainviewer.export.key_images import as_array, key_figures
from brainviewer.export.uids import fresh

if TYPE_CHECKING:
    from brainviewer.export.order import Order

SERIES = 9105


def write(order: Order, folder: Path) -> None:
    """ENGINE_key1.dcm and so on, one series."""
    from highdicom.sc import SCImage
    from pydicom.uid import ExplicitVRLittleEndian

    series = fresh()
    for number, figure in enumerate(key_figures(order), start=1):
        image = SCImage.from_ref_dataset(
            ref_dataset=order.images.images[0],
            pixel_array=as_array(figure),
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=("L", "P"),
            series_instance_uid=series,
            series_number=SERIES,
            sop_instance_uid=fresh(),
            instance_number=number,
            manufacturer=coding.MANUFACTURER,
            manufacturer_model_name=coding.MODEL_NAME,
            software_versions=coding.version(),
            device_serial_number=coding.SERIAL,
            series_description=coding.description(order.material, "Key images"),
            specific_character_set="ISO_IR 192",
            transfer_syntax_uid=ExplicitVRLittleEndian,
            contributing_equipment=coding.contributing(),
        )
        image.BurnedInAnnotation = "NO"  # words, but none about the patient
        image.ImageComments = f"{coding.RESEARCH} {figure.caption}"[:10240]
        # Three planes in one picture have no common orientation; highdicom asks for one.
        image.PatientOrientation = image.Laterality = ""
        image.SourceImageSequence = coding.references(order.images.images[:1])
        save(order, image, folder / order.name(f"key{number}.dcm"))
