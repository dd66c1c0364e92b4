"""The DICOM images that exported objects refer to: the scan's own headers, or images generated from a NIfTI file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from brainviewer.export.deidentify import picture_warnings
from brainviewer.export.uids import repeatable
from brainviewer.study import Series, Study
from engines import BadInput

if TYPE_CHECKING:
    from brainviewer.export.order import Order

Vector = tuple[float, ...]
# Must be there, though they may be empty (type 2); what is copied from the images has to have them.
TYPE_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
COPIED_TEXT = ("PatientName", "PatientID", "StudyID", "AccessionNumber", "ReferringPhysicianName")
SEXES = ("M", "F", "O", "")
GENERATED = "The scan is no DICOM: images were generated from it, in a study of their own that no archive knows."


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of the series: its place k in the volume, its file, and ImagePositionPatient (LPS mm)."""

    slot: int
    image: int
    position: Vector


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """What a series is made of. images: one data set a file, without pixels unless generated.

    orientation: ImageOrientationPatient; spacing: (between rows, between columns) mm; thickness: mm.
    """

    images: list[Dataset]
    slices: list[Slice]
    orientation: Vector
    spacing: Vector
    thickness: float
    generated: bool

    def frames(self, values: NDArray[Any]) -> NDArray[Any]:
        """Voxels (i, j, k) as DICOM frames (slices, rows, columns); empty slots of missing slices are left out."""
        taken = values[:, :, [one.slot for one in self.slices]]
        return np.ascontiguousarray(taken.transpose(2, 1, 0))

    @property
    def has_geometry(self) -> bool:
        """True where the images say where they lie in the patient."""
        return bool(self.orientation)

    def planes(self) -> dict[str, Any]:
        """Geometry of all frames, as highdicom takes it; raises BadInput for pictures without a place."""
        import highdicom

        if not self.has_geometry:
            raise BadInput(
                "The pictures do not say where they lie in the patient, so nothing can be laid over them in DICOM.",
                "Export them as png, dicom-capture or dicom-pdf.",
            )
        return {
            "plane_positions": [highdicom.PlanePositionSequence("PATIENT", one.position) for one in self.slices],
            "plane_orientation": highdicom.PlaneOrientationSequence("PATIENT", self.orientation),
            "pixel_measures": highdicom.PixelMeasuresSequence(self.spacing, self.thickness),
        }


def images(order: Order) -> Images:
    """The images of the run's series, de-identified where the order says so."""
    series = order.source.series
    if series.format != "dicom":
        from brainviewer.export.dicom_generated import generate

        order.warnings.append(GENERATED)
        return generate(order)
    headers = [complete(dcmread(path, stop_before_pixels=True, force=True), series) for path in series.files]
    if order.deidentifier is not None:
        order.warnings += picture_warnings(headers)
        headers = [order.deidentifier.clean(header) for header in headers]
    return _arranged(series, headers, order.material.volume.affine)


def complete(header: Dataset, series: Series) -> Dataset:
    """A header with everything that derived objects copy, however poor the file is."""
    if header.get("PatientSex", "") not in SEXES:
        header.PatientSex = ""
    for keyword in TYPE_2:
        if keyword not in header or header[keyword].value is None:
            setattr(header, keyword, "")
    for keyword in COPIED_TEXT:
        setattr(header, keyword, str(header[keyword].value).replace("\\", " ")[:64])
    if not header.get("StudyInstanceUID"):
        header.StudyInstanceUID = repeatable("study", series.uid)
    if not header.get("SeriesInstanceUID"):
        header.SeriesInstanceUID = repeatable("series", series.uid)
    if not header.get("FrameOfReferenceUID"):
        header.FrameOfReferenceUID = repeatable("frame of reference", header.SeriesInstanceUID)
    return header


def _arranged(series: Series, headers: list[Dataset], affine: NDArray[np.float64]) -> Images:
    numbers = cast("tuple[int, ...]", series.options["frames"])
    slots = cast("tuple[int, ...]", series.options["slots"])
    slices: list[Slice] = []
    orientation: Vector = ()
    for entry, (number, slot) in enumerate(zip(numbers, slots, strict=True)):
        image = entry % len(headers)
        position = _value(headers[image], number, "PlanePositionSequence", "ImagePositionPatient", 3)
        orientation = _value(headers[image], number, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
        slices.append(Slice(slot, image, position))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    placed = all(len(one.position) == 3 for one in slices) and len(orientation) == 6
    found = Images(
        headers,
        slices,
        orientation if placed else (),
        (float(spacing[1]), float(spacing[0])),
        float(spacing[2]),
        generated=False,
    )
    for header in headers if placed else ():
        _measure(header, found)
    return found


def _measure(header: Dataset, found: Images) -> None:
    """Give a header the sizes that derived objects copy, in the one place where highdicom looks for them.

    The thickness is the distance of the slices: a wrong one in the file must not make later readers misplace them.
    """
    import highdicom

    if "PerFrameFunctionalGroupsSequence" not in header:
        header.SliceThickness = f"{found.thickness:.8g}"
        header.pop("SpacingBetweenSlices", None)
        return
    if not header.get("SharedFunctionalGroupsSequence"):
        header.SharedFunctionalGroupsSequence = [Dataset()]
    shared = header.SharedFunctionalGroupsSequence[0]
    shared.PixelMeasuresSequence = highdicom.PixelMeasuresSequence(found.spacing, found.thickness)
    shared.PlaneOrientationSequence = highdicom.PlaneOrientationSequence("PATIENT", found.orientation)


def _value(header: Dataset, frame: int, sequence: str, keyword: str, count: int) -> Vector:
    """Numbers of one frame: in the frame's own group, the shared one, or the header."""
    groups: list[Dataset] = []
    per_frame = header.get("PerFrameFunctionalGroupsSequence")
    if per_frame and frame < len(per_frame):
        groups.append(per_frame[frame])
    groups += header.get("SharedFunctionalGroupsSequence") or []
    found: Sequence[Any] = ()
    for group in groups:
        if group.get(sequence):
            found = found or group[sequence][0].get(keyword) or ()
    found = found or header.get(keyword) or ()
    return tuple(float(value) for value in found) if len(found) == count else ()


def with_pixels(path: Path) -> Dataset:
    """A whole DICOM file, with the file meta it should have."""
    dataset = dcmread(path, force=True)
    meta = dataset.file_meta
    if "TransferSyntaxUID" not in meta:
        implicit, little = dataset.original_encoding
        plain = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        meta.TransferSyntaxUID = plain if little else ExplicitVRBigEndian
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "")
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "")
    return dataset


def patient_of(study: Study) -> str:
    """What stays the same over all studies of a patient; never shown, only turned into other identifiers."""
    for series in study.series:
        if series.format == "dicom":
            header = dcmread(series.files[0], stop_before_pixels=True, force=True, specific_tags=["PatientID"])
            return str(header.get("PatientID") or "") or study.uid
    return study.uid
