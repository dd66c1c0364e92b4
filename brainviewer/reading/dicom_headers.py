"""What one DICOM file says about itself and about each of its frames, classic or enhanced."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID

from brainviewer.reading.dicom_file import read_header
from brainviewer.reading.dicom_values import Numbers, first, many_texts, numbers, one, only, seek, text, whole
from brainviewer.reading.fingerprint import text_fingerprint
from brainviewer.reading.modality import MrTiming, from_mr_header, from_radiograph
from brainviewer.reading.trouble import NotAnImage, damage_reported
from engines import BadInput

Marks = tuple[object, ...]
DICOMDIR = "1.2.840.10008.1.3.10"
MICROSCOPY = "SM"
NO_IMAGE = {
    "SEG": "a segmentation",
    "SR": "a structured report",
    "KO": "a key object selection",
    "PR": "a presentation state",
    "RWV": "a value mapping",
    "ANN": "a set of annotations",
    "RTSTRUCT": "a set of contours",
    "RTDOSE": "a radiotherapy dose",
    "RTPLAN": "a radiotherapy plan",
    "REG": "a registration",
    "DOC": "a document",
    "PM": "a parametric map",
    MICROSCOPY: "a microscopy picture",
}
# In-stack position number and image position: where a slice lies, not what tells it from its twins.
POSITION_POINTERS = {0x00209057, 0x00200032, 0x00200037}
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"

# fmt: off
TAGS = (
    "ImageType", "SOPClassUID", "SOPInstanceUID", "StudyDate", "Modality", "StudyDescription", "SeriesDescription",
    "PatientName", "BodyPartExamined", "ScanningSequence", "RepetitionTime", "EchoTime", "InversionTime",
    "EchoNumbers", "SpacingBetweenSlices", "ProtocolName", "SequenceName", "TriggerTime", "ImagerPixelSpacing",
    "NominalScannedPixelSpacing", "ViewPosition", "DiffusionBValue", "StudyInstanceUID", "SeriesInstanceUID",
    "SeriesNumber", "AcquisitionNumber", "InstanceNumber", "PatientOrientation", "ImagePositionPatient",
    "ImageOrientationPatient", "TemporalPositionIdentifier", "StackID", "SamplesPerPixel",
    "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "PixelSpacing", "BitsAllocated", "BitsStored",
    "PixelRepresentation", "WindowCenter", "WindowWidth", "RescaleIntercept", "RescaleSlope",
    "DimensionIndexSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Header:
    """One file: identity, picture format and what the screen shows. Lengths in mm, dates in ISO."""

    path: Path
    syntax: str
    sop_class: str
    sop_uid: str
    study_uid: str
    series_uid: str
    patient: str
    study_date: str
    study_title: str
    title: str
    kind: str
    modality: str
    series_number: int
    instance: int
    rows: int
    columns: int
    frames: int
    samples: int
    bytes_a_sample: int
    inverted: bool
    stored_range: tuple[int, int]
    faces: str
    mosaic: bool

    @property
    def pixel_bytes(self) -> int:
        """Size of all its frames when uncompressed."""
        return self.rows * self.columns * self.frames * self.samples * self.bytes_a_sample


@dataclass(frozen=True, slots=True)
class Frame:
    """One slice: where it lies (DICOM's LPS, mm), how its values scale, and what tells it from its twins.

    spacing: (between rows, between columns), from the patient plane, or on the detector where says so.
    marks: echo, frame type, temporal position, b-value, stack, trigger, other dimensions, acquisition.
    """

    header: Header
    number: int
    position: Numbers
    orientation: Numbers
    spacing: Numbers
    slice_step: float
    rescale: tuple[float, float]
    window: tuple[float, float] | None
    marks: Marks


def read_frames(path: Path) -> list[Frame]:
    """Every frame of a file, in file order. Raises NotAnImage or BadInput with one sentence."""
    dataset, room = read_header(path, TAGS)
    with damage_reported(path, "header"):
        header = _header(path, dataset)
        _check(header, room)
        shared = first(dataset, "SharedFunctionalGroupsSequence")
        groups = dataset.get("PerFrameFunctionalGroupsSequence")
        if not groups:
            marks = _classic_marks(dataset)
            frames = [_frame(header, number, (dataset,), marks) for number in range(header.frames)]
            # One position for many frames (nuclear medicine, cine) is that of the first: the others are unknown.
            return frames if header.frames == 1 else [replace(frame, position=()) for frame in frames]
        if len(groups) != header.frames:
            raise BadInput(f"{path.name} describes {len(groups)} frames but announces {header.frames}.")
        others = _other_dimensions(dataset)
        return [
            _frame(header, number, (group, shared, dataset), _enhanced_marks(group, shared, others))
            for number, group in enumerate(groups)
        ]


def _header(path: Path, dataset: Dataset) -> Header:
    kind, sop_class = text(dataset, "Modality"), text(dataset, "SOPClassUID")
    if sop_class == DICOMDIR:
        raise NotAnImage("")
    if sop_class == PARAMETRIC_MAP:
        kind = "PM"
    if kind in NO_IMAGE or "Rows" not in dataset or "Columns" not in dataset:
        if not sop_class and "StudyInstanceUID" not in dataset:
            raise BadInput(f"{path.name} is damaged: it holds no picture and does not say what it is.")
        raise NotAnImage(f"{path.name} is {NO_IMAGE.get(kind) or UID(sop_class).name}, not an image series; skipped.")
    allocated, stored = whole(dataset, "BitsAllocated", 16), whole(dataset, "BitsStored", 16)
    signed = whole(dataset, "PixelRepresentation", 0) == 1
    date = text(dataset, "StudyDate")
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", "")) if hasattr(dataset, "file_meta") else ""
    return Header(
        path=path,
        syntax=syntax,
        sop_class=sop_class,
        sop_uid=text(dataset, "SOPInstanceUID"),
        study_uid=text(dataset, "StudyInstanceUID") or text_fingerprint(str(path.parent)),
        series_uid=text(dataset, "SeriesInstanceUID") or text_fingerprint(str(path.parent)),
        patient=text(dataset, "PatientName").replace("^", " ").strip(),
        study_date=f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 and date.isdigit() else "",
        study_title=text(dataset, "StudyDescription").replace("^", " ").strip(),
        title=text(dataset, "SeriesDescription") or text(dataset, "ProtocolName") or text(dataset, "BodyPartExamined"),
        kind=kind,
        modality=_modality(kind, dataset),
        series_number=whole(dataset, "SeriesNumber", 0),
        instance=whole(dataset, "InstanceNumber", 0),
        rows=whole(dataset, "Rows", 0),
        columns=whole(dataset, "Columns", 0),
        frames=whole(dataset, "NumberOfFrames", 1) or 1,
        samples=whole(dataset, "SamplesPerPixel", 1),
        bytes_a_sample=math.ceil(allocated / 8),
        inverted=text(dataset, "PhotometricInterpretation") == "MONOCHROME1",
        stored_range=(-(1 << stored - 1), (1 << stored - 1) - 1) if signed else (0, (1 << stored) - 1),
        faces="\\".join(many_texts(dataset, "PatientOrientation")),
        mosaic="MOSAIC" in many_texts(dataset, "ImageType"),
    )


def _check(header: Header, room: int) -> None:
    """Refuse a header that cannot be true before anything is allocated."""
    name = header.path.name
    if min(header.rows, header.columns, header.frames) < 1 or header.samples not in (1, 3):
        raise BadInput(
            f"{name} has an impossible picture size: {header.columns} x {header.rows}, "
            f"{header.frames} frames, {header.samples} samples a pixel."
        )
    syntax = UID(header.syntax or "1.2.840.10008.1.2")
    compressed = syntax.is_transfer_syntax and syntax.is_encapsulated
    if not compressed and header.pixel_bytes > room:
        raise BadInput(
            f"{name} is cut short or its header is wrong: it promises {header.pixel_bytes:,} bytes of pixels "
            f"and has {room:,}."
        )


def _frame(header: Header, number: int, sources: tuple[Dataset | None, ...], marks: Marks) -> Frame:
    def find(sequence: str, keyword: str) -> Numbers:
        return next((found for source in sources if (found := seek(source, sequence, keyword))), ())

    centre, width = find("FrameVOILUTSequence", "WindowCenter"), find("FrameVOILUTSequence", "WindowWidth")
    slope = find("PixelValueTransformationSequence", "RescaleSlope") or (1.0,)
    intercept = find("PixelValueTransformationSequence", "RescaleIntercept") or (0.0,)
    step = find("PixelMeasuresSequence", "SpacingBetweenSlices")
    return Frame(
        header=header,
        number=number,
        position=only(find("PlanePositionSequence", "ImagePositionPatient"), 3),
        orientation=only(find("PlaneOrientationSequence", "ImageOrientationPatient"), 6),
        spacing=_spacing(find, sources[-1]),
        slice_step=abs(step[0]) if step else 0.0,
        # A slope of zero would wipe the picture out; it means "not given".
        rescale=(slope[0] or 1.0, intercept[0]),
        window=(width[0], centre[0]) if centre and width and width[0] > 0 else None,
        marks=marks,
    )


def _spacing(find: Callable[[str, str], Numbers], dataset: Dataset | None) -> Numbers:
    """(between rows, between columns) in mm: in the patient, else on the detector, else on the scanned film."""
    candidates = (
        find("PixelMeasuresSequence", "PixelSpacing"),
        numbers(dataset, "ImagerPixelSpacing"),
        numbers(dataset, "NominalScannedPixelSpacing"),
    )
    return next((found for found in candidates if len(found) == 2 and min(found) > 0), ())


def _classic_marks(dataset: Dataset) -> Marks:
    return (
        (numbers(dataset, "EchoNumbers"), numbers(dataset, "EchoTime")),
        tuple(many_texts(dataset, "ImageType")),
        numbers(dataset, "TemporalPositionIdentifier"),
        numbers(dataset, "DiffusionBValue"),
        text(dataset, "StackID"),
        numbers(dataset, "TriggerTime"),
        numbers(dataset, "InversionTime"),
        numbers(dataset, "AcquisitionNumber"),
    )


def _other_dimensions(dataset: Dataset) -> tuple[int, ...]:
    """Which of the dimension indexes tell twins apart: all but those that count positions."""
    pointers = [item.get("DimensionIndexPointer") for item in dataset.get("DimensionIndexSequence") or ()]
    return tuple(place for place, pointer in enumerate(pointers) if pointer not in POSITION_POINTERS)


def _enhanced_marks(group: Dataset, shared: Dataset | None, others: tuple[int, ...]) -> Marks:
    content = first(group, "FrameContentSequence") or Dataset()
    image_type = first(group, "MRImageFrameTypeSequence") or first(shared, "MRImageFrameTypeSequence") or Dataset()
    index = numbers(content, "DimensionIndexValues")
    return (
        seek(group, "MREchoSequence", "EffectiveEchoTime") or seek(shared, "MREchoSequence", "EffectiveEchoTime"),
        (*many_texts(image_type, "FrameType"), text(image_type, "ComplexImageComponent")),
        numbers(content, "TemporalPositionIndex"),
        seek(group, "MRDiffusionSequence", "DiffusionBValue"),
        text(content, "StackID"),
        seek(group, "CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
        tuple(index[place] for place in others if place < len(index)),
        numbers(content, "FrameAcquisitionNumber"),
    )


def _modality(kind: str, dataset: Dataset) -> str:
    description, protocol = text(dataset, "SeriesDescription"), text(dataset, "ProtocolName")
    if kind != "MR":
        return from_radiograph(
            kind, description, protocol, *(text(dataset, word) for word in ("BodyPartExamined", "StudyDescription"))
        )
    shared = first(dataset, "SharedFunctionalGroupsSequence")
    timing = seek(shared, "MRTimingAndRelatedParametersSequence", "RepetitionTime")
    echo = seek(shared, "MREchoSequence", "EffectiveEchoTime")
    return from_mr_header(
        description,
        f"{protocol} {text(dataset, 'SequenceName')}",
        MrTiming(
            echo=one(numbers(dataset, "EchoTime") or echo),
            repetition=one(numbers(dataset, "RepetitionTime") or timing),
            inversion=one(numbers(dataset, "InversionTime")),
            sequence=" ".join(many_texts(dataset, "ScanningSequence")),
        ),
    )
