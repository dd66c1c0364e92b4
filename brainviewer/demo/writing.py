"""The scanned pictures as files: a DICOM MR study, and the same as NIfTI with the true lesion."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from brainviewer.demo.scanner import Grid, Protocol

RESEARCH = "Simulated. Research use only, not for diagnosis."
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
WHEN = ("20260101", "120000")


def uid(*parts: object) -> str:
    """The same UID for the same parts, so that remaking the study does not make another one."""
    return generate_uid(entropy_srcs=["brainviewer demo", *map(str, parts)])


def _patient_and_study(version: int) -> Dataset:
    shared = Dataset()
    shared.SOPClassUID = MRImageStorage
    shared.StudyInstanceUID = uid(version, "study")
    shared.FrameOfReferenceUID = uid(version, "frame of reference")
    shared.PatientName = "Demo^Sample"
    shared.PatientID = "DEMO"
    shared.PatientBirthDate = ""
    shared.PatientSex = "O"
    shared.PatientPosition = "HFS"
    shared.StudyDate = shared.SeriesDate = shared.ContentDate = shared.AcquisitionDate = WHEN[0]
    shared.StudyTime = shared.SeriesTime = shared.ContentTime = shared.AcquisitionTime = WHEN[1]
    shared.StudyID = "DEMO"
    shared.StudyDescription = "BrainViewer sample study (simulated)"
    shared.AccessionNumber = ""
    shared.ReferringPhysicianName = ""
    shared.PositionReferenceIndicator = ""
    shared.Manufacturer = "BrainViewer"
    shared.ManufacturerModelName = "Simulated scanner"
    shared.SoftwareVersions = str(version)
    shared.Modality = "MR"
    shared.BodyPartExamined = "BRAIN"
    shared.ContentQualification = "RESEARCH"
    shared.ImageComments = RESEARCH
    shared.BurnedInAnnotation = "NO"
    return shared


def _pixels(dataset: Dataset, rows: int, columns: int, window: tuple[float, float]) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.WindowWidth, dataset.WindowCenter = window


def _sequence(dataset: Dataset, name: str) -> None:
    """What the MR image module asks for; the figures are those of ordinary protocols."""
    dataset.ImageType = ["DERIVED", "PRIMARY", "M"]
    dataset.AcquisitionNumber = "1"
    dataset.MRAcquisitionType = "2D" if name == "FLAIR" else "3D"
    dataset.ScanningSequence = ["SE", "IR"] if name == "FLAIR" else ["GR", "IR"]
    dataset.SequenceVariant = "SK"
    dataset.ScanOptions = ""
    dataset.MagneticFieldStrength = "1.5"
    echo, repetition, inversion, train = ("120", "9000", "2500", "16") if name == "FLAIR" else ("3", "2000", "900", "1")
    dataset.EchoTime, dataset.RepetitionTime = echo, repetition
    dataset.InversionTime, dataset.EchoTrainLength = inversion, train


def _short(number: float) -> str:
    """A decimal string of at most 16 characters, as DICOM asks."""
    return f"{number:.6f}"


def write_dicom(folder: Path, protocol: Protocol, pixels: NDArray[np.uint16], version: int) -> None:
    """One series, a file a slice. pixels: (columns, rows, slices) on the protocol's grid."""
    name, grid = protocol.contrast.name, protocol.grid
    folder.mkdir(parents=True, exist_ok=True)
    lps = LPS @ grid.affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    along_row, along_column = lps[:3, 0] / spacing[0], lps[:3, 1] / spacing[1]
    normal = np.cross(along_row, along_column)
    for index in range(grid.shape[2]):
        dataset = _patient_and_study(version)
        dataset.SOPInstanceUID = uid(version, name, index)
        dataset.SeriesInstanceUID = uid(version, name)
        dataset.SeriesNumber, dataset.InstanceNumber = protocol.number, index + 1
        dataset.SeriesDescription = f"{name} simulated - RESEARCH"
        dataset.ProtocolName = name
        _sequence(dataset, name)
        _pixels(dataset, grid.shape[1], grid.shape[0], protocol.window)
        position = lps[:3, 3] + index * lps[:3, 2]
        dataset.ImagePositionPatient = [_short(value) for value in position]
        dataset.ImageOrientationPatient = [_short(value) for value in (*along_row, *along_column)]
        dataset.SliceLocation = _short(float(position @ normal))
        dataset.PixelSpacing = [_short(spacing[1]), _short(spacing[0])]
        dataset.SliceThickness = _short(grid.thickness_mm)
        dataset.SpacingBetweenSlices = _short(spacing[2])
        dataset.PixelData = pixels[:, :, index].T.astype("<u2").tobytes()
        _save(dataset, folder / f"IM{index + 1:04d}.dcm")


def _save(dataset: Dataset, path: Path) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    FileDataset(str(path), dataset, file_meta=meta, preamble=b"\0" * 128).save_as(path, enforce_file_format=True)


def write_nifti(path: Path, voxels: NDArray[np.generic], grid: Grid) -> None:
    """One volume on its own grid, in the same patient space as the DICOM files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(voxels, grid.affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = RESEARCH.encode()
    image.set_sform(grid.affine, code="scanner")
    image.set_qform(grid.affine, code="scanner")
    nib.save(image, path)
