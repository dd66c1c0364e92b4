"""What every archive can do, however it is spoken to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from engines import KnownError, Report

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


class ArchiveTrouble(KnownError):  # noqa: N818
    """An archive that cannot be reached, refuses, or answers with an error."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which studies to look for; "" asks for any, * and ? stand for any text and any letter.

    since, until: dates as YYYYMMDD.
    """

    patient_name: str = ""
    patient_id: str = ""
    study_uid: str = ""
    modality: str = ""
    description: str = ""
    since: str = ""
    until: str = ""
    most: int = 200

    @property
    def dates(self) -> str:
        """DICOM's date range."""
        return f"{self.since}-{self.until}" if self.since or self.until else ""


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """A study that an archive has. patient, patient_id: for the screen only, never a path or a log."""

    uid: str
    patient: str
    patient_id: str
    date: str
    description: str
    modalities: tuple[str, ...]
    images: int

    @classmethod
    def of(cls, answer: Dataset) -> FoundStudy:
        """What an archive answers to a query at the study level, by C-FIND or QIDO-RS."""
        modalities = answer.get("ModalitiesInStudy") or ()
        return cls(
            uid=str(answer.StudyInstanceUID),
            patient=str(answer.get("PatientName", "")).replace("^", " ").strip(),
            patient_id=str(answer.get("PatientID", "")),
            date=str(answer.get("StudyDate", "")),
            description=str(answer.get("StudyDescription", "")),
            modalities=(modalities,) if isinstance(modalities, str) else tuple(modalities),
            images=int(answer.get("NumberOfStudyRelatedInstances") or 0),
        )


@dataclass(frozen=True, slots=True)
class Instance:
    """One object of a study."""

    uid: str
    series_uid: str
    sop_class: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of files: how many arrived, how many were there already, a sentence for each that was refused."""

    arrived: int
    already_there: int
    refused: tuple[str, ...] = ()


class Archive(Protocol):
    """Ask, fetch and send."""

    def echo(self) -> None:
        """Raise ArchiveTrouble where the archive does not answer."""

    def find(self, question: Question) -> list[FoundStudy]:
        """Studies that fit."""

    def instances(self, study_uid: str) -> list[Instance]:
        """Every object of a study."""

    def retrieve(self, study_uid: str, folder: Path, report: Report) -> list[Path]:
        """Fetch what is not in the folder yet; returns all files of the study there."""

    def send(self, files: Sequence[Path], report: Report) -> Sent:
        """Send what the archive does not have yet."""


def place(folder: Path, instance: Instance) -> Path:
    """Where an object is kept."""
    return folder / f"{instance.uid}.dcm"


def missing(folder: Path, instances: Sequence[Instance]) -> list[Instance]:
    """Objects that are not in the folder yet."""
    return [one for one in instances if not place(folder, one).exists()]
