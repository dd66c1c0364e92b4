"""De-identification of DICOM objects: the basic profile of PS3.15 Annex E with modified dates.

The profile lists what must go. New private or free-text elements appear faster than such lists, so here the rule is
turned round: every name, text, comment and unknown value goes unless it is on the short list of harmless technical
ones. Identifiers become others, by a secret key: the same identifier always becomes the same other one, so that
objects exported on different days still refer to each other. All dates of a patient move back by the same number of
days; times of day stay. Pixels are never changed: `picture_warnings` tells where they may show who it is.
"""

from __future__ import annotations

import copy
import datetime
import hashlib
import hmac
import uuid
from collections.abc import Iterator

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

NAMES_AND_TEXTS = {"PN", "LO", "LT", "SH", "ST", "UC", "UT", "UR", "AE", "AS", "UN"}
# Texts that describe the technique or a code, not the patient, the place or the staff.
_HARMLESS = """
SpecificCharacterSet Manufacturer ManufacturerModelName SoftwareVersions SequenceName PulseSequenceName
CodeValue CodingSchemeDesignator CodingSchemeVersion CodeMeaning LongCodeValue MappingResource RescaleType
ModalityLUTType LUTExplanation LUTLabel FrameType StackID ReceiveCoilName TransmitCoilName ResonantNucleus
ImagedNucleus ConvolutionKernel ContrastBolusAgent MagneticFieldStrength SegmentLabel SegmentDescription
SegmentAlgorithmName AlgorithmName AlgorithmVersion AlgorithmSource AlgorithmParameters TrackingID
DimensionDescriptionLabel DerivationDescription
"""
HARMLESS = frozenset(_HARMLESS.split())
# Numbers and codes about the person, and copies of the picture that nobody would look at.
_UNWANTED = """
PatientWeight PatientSize PatientSex PatientSexNeutered PregnancyStatus SmokingStatus EthnicGroup
IconImageSequence GraphicAnnotationSequence EncryptedAttributesSequence OriginalAttributesSequence
MACParametersSequence DigitalSignaturesSequence RequestAttributesSequence RequestingServiceCodeSequence
ReferencedStudySequence ReferencedPerformedProcedureStepSequence ReferencedPatientSequence
ReferencedPatientPhotoSequence PersonIdentificationCodeSequence InstitutionCodeSequence
PhysiciansOfRecordIdentificationSequence PerformingPhysicianIdentificationSequence
OperatorIdentificationSequence ReferringPhysicianIdentificationSequence IssuerOfPatientIDQualifiersSequence
OtherPatientIDsSequence PatientBirthDate PatientBirthTime LastMenstrualDate AuthorObserverSequence
VerifyingObserverSequence ContributingEquipmentSequence UDISequence AcquisitionDeviceTypeCodeSequence
"""
UNWANTED = frozenset(_UNWANTED.split())
# Must be there in every object, though empty (type 2).
EMPTY = ("PatientBirthDate", "PatientSex", "ReferringPhysicianName", "AccessionNumber", "StudyID")
# The roots of the standard's own UIDs: classes and transfer syntaxes, which identify nobody.
STANDARD_UIDS = ("1.2.840.10008.",)
# Groups 50xx and 60xx: curves and overlays may hold handwriting.
CURVES_AND_OVERLAYS = (0x50, 0x60)
# The rest of the file meta names programs and stations; the writer adds its own.
KEPT_META = ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")
LEAST_DAYS, MOST_DAYS = 100, 3000
METHODS = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)


class Deidentifier:
    """Takes identities out, the same way each time.

    key: a secret; whoever has it and an identifier can find the replacement, nobody else. patient: what stays the
    same over all studies of a patient (Patient ID); fixes the replaced name and the days.
    """

    def __init__(self, key: bytes, patient: str) -> None:
        self._key = key
        self._patient = patient

    def uid(self, value: str) -> str:
        """The replacement of a UID, or of any other identifier."""
        if value.startswith(STANDARD_UIDS) or not value:
            return value
        return f"2.25.{uuid.UUID(bytes=self._digest('uid', value)[:16], version=4).int}"

    @property
    def patient(self) -> str:
        """The replaced name and ID of the patient."""
        return f"ANON-{self._digest('patient', self._patient).hex()[:12].upper()}"

    @property
    def days(self) -> int:
        """How many days dates move back."""
        return LEAST_DAYS + int.from_bytes(self._digest("days", self._patient)[:4], "big") % (MOST_DAYS - LEAST_DAYS)

    def shifted(self, value: str) -> str:
        """A DICOM date, or date and time, moved back; "" for one that cannot be read."""
        try:
            day = datetime.datetime.strptime(value[:8], "%Y%m%d").replace(tzinfo=datetime.UTC)
        except ValueError:
            return ""
        return (day - datetime.timedelta(days=self.days)).strftime("%Y%m%d") + value[8:]

    def clean(self, dataset: Dataset) -> Dataset:
        """A copy without identities; pixels are shared with the original."""
        cleaned = self._without_names(dataset)
        for keyword in EMPTY:
            setattr(cleaned, keyword, "")
        self.mark(cleaned)
        if hasattr(dataset, "file_meta"):
            cleaned.file_meta = copy.deepcopy(dataset.file_meta)
            cleaned.file_meta.MediaStorageSOPInstanceUID = cleaned.get("SOPInstanceUID", "")
            for element in list(cleaned.file_meta):
                if element.keyword not in KEPT_META:
                    del cleaned.file_meta[element.tag]
        return cleaned

    def mark(self, dataset: Dataset) -> None:
        """Say in an object that identities were taken out, and how."""
        dataset.PatientName, dataset.PatientID = f"{self.patient}^", self.patient
        dataset.PatientIdentityRemoved = "YES"
        dataset.LongitudinalTemporalInformationModified = "MODIFIED"
        items = []
        for value, meaning in METHODS:
            item = Dataset()
            item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
            items.append(item)
        dataset.DeidentificationMethodCodeSequence = Items(items)

    def _without_names(self, dataset: Dataset) -> Dataset:
        kept = Dataset()
        for element in dataset:
            found = self._element(element)
            if found is not None:
                kept.add(found)
        return kept

    def _element(self, element: DataElement) -> DataElement | None:
        keyword, vr = element.keyword, element.VR
        if (
            element.tag.group < 0x0008
            or element.tag.is_private
            or keyword in UNWANTED
            or element.tag.group >> 8 in CURVES_AND_OVERLAYS
        ):
            return None
        if vr == "SQ":
            return DataElement(element.tag, "SQ", Items([self._without_names(item) for item in element.value]))
        if vr == "UI":
            return DataElement(element.tag, "UI", _each(element.value, self.uid))
        if vr in ("DA", "DT"):
            return DataElement(element.tag, vr, _each(element.value, self.shifted))
        if vr in NAMES_AND_TEXTS and keyword not in HARMLESS:
            return None
        return element

    def _digest(self, *parts: str) -> bytes:
        return hmac.new(self._key, "\x1f".join(parts).encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def _each(value: object, change: object) -> object:
    assert callable(change)  # noqa: S101 - for the type checker
    if value is None or value == "":
        return value
    if isinstance(value, list | tuple) or hasattr(value, "append"):
        return [change(str(one)) for one in value]  # type: ignore[attr-defined]
    return change(str(value))


def picture_warnings(datasets: Iterator[Dataset] | list[Dataset]) -> list[str]:
    """Sentences about pixels that may show who the patient is."""
    found = []
    for dataset in datasets:
        image_type = [str(part) for part in dataset.get("ImageType") or ()]
        captured = "SECONDARY" in image_type[1:2] or str(dataset.get("Modality", "")) in ("US", "OT", "XC", "ES", "SC")
        burned_in = str(dataset.get("BurnedInAnnotation", "")).upper()
        if burned_in == "YES" or (captured and burned_in != "NO"):
            found.append("The pictures may show a name burned into the pixels: look at them before you pass them on.")
        if str(dataset.get("RecognizableVisualFeatures", "")).upper() == "YES":
            found.append("The scan says that the patient can be recognised in it.")
    return list(dict.fromkeys(found))
