"""DICOM Encapsulated PDF: the report in the study's own folder of the archive."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from brainviewer.export import coding
from brainviewer.export.dicom_seg import save
from brainviewer.export.uids import fresh
from engines import BadInput

if TYPE_CHECKING:
    from brainviewer.export.order import Order

SERIES = 9106
COPIED = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip


def write(order: Order, folder: Path) -> None:
    """ENGINE_report.dcm."""
    if order.document is None:
        raise BadInput("There is no report to put into DICOM.", "Use `brainviewer export` on a stored run.")
    save(order, build(order, order.document()), folder / order.name("report.dcm"))


def build(order: Order, pdf: bytes) -> FileDataset:
    """The object around a PDF file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image, now = order.images.images[0], datetime.datetime.now(datetime.UTC).astimezone()
    for keyword in COPIED:
        setattr(made, keyword, image.get(keyword, ""))
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID = meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    made.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = fresh()
    made.SeriesInstanceUID, made.SeriesNumber, made.InstanceNumber = fresh(), SERIES, 1
    made.Modality, made.ConversionType = "DOC", "WSD"
    made.SeriesDescription = coding.description(order.material, "Report")
    for keyword, value in zip(
        ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber"),
        (coding.MANUFACTURER, coding.MODEL_NAME, coding.version(), coding.SERIAL),
        strict=True,
    ):
        setattr(made, keyword, value)
    made.InstanceCreationDate = made.ContentDate = now.strftime("%Y%m%d")
    made.InstanceCreationTime = made.ContentTime = now.strftime("%H%M%S")
    made.AcquisitionDateTime = ""
    made.BurnedInAnnotation = "NO"
    made.RecognizableVisualFeatures = "NO"
    made.VerificationFlag = "UNVERIFIED"
    made.DocumentTitle = f"BrainViewer anomaly report. {coding.RESEARCH}"
    made.ConceptNameCodeSequence = []
    made.SourceInstanceSequence = coding.references(order.images.images)
    made.ContributingEquipmentSequence = coding.contributing()
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    made.EncapsulatedDocumentLength = len(pdf)
    return made
