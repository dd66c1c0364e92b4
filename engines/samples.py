"""Cohorts: lists of volumes with labels and splits by subject, read from a CSV file."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast, get_args

from engines.errors import BadCohort

Label = Literal["normal", "abnormal", "unlabeled"]
Split = Literal["train", "val", "test"]

COLUMNS = ("subject", "volume", "modality", "label", "split", "mask", "slice_labels")
LARGEST_TABLE = 64 << 20
# A changed picture changes its size, its head or its tail (gzip ends with a checksum): no need to read gigabytes.
FINGERPRINT_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Sample:
    """One volume of a cohort and what is known about it.

    mask: file of the drawn lesion, for evaluation only. slice_labels: "1" for a slice that shows a lesion, "0" for
    one that does not, along the last voxel axis; "" where unknown.
    """

    subject: str
    volume: Path
    modality: str
    label: Label
    split: Split
    mask: Path | None = None
    slice_labels: str = ""

    @property
    def abnormal(self) -> bool | None:
        """Whether the subject shows a lesion; None where nobody said."""
        if self.label == "unlabeled":
            return "1" in self.slice_labels if self.slice_labels else None
        return self.label == "abnormal"


@dataclass(frozen=True, slots=True)
class Cohort:
    """Volumes with labels and splits; path and digest are those of the file they come from.

    digest: SHA-256 over the rows and a fingerprint of each named file (size, first and last 64 KiB).
    """

    samples: tuple[Sample, ...]
    path: Path
    digest: str

    @property
    def name(self) -> str:
        """The cohort file's name without its ending."""
        return self.path.stem

    @property
    def subjects(self) -> tuple[str, ...]:
        """Every subject once, in the order of the file."""
        return tuple(dict.fromkeys(sample.subject for sample in self.samples))

    def select(self, *, split: str | None = None, label: str | None = None, modality: str | None = None) -> Cohort:
        """The samples that fit all the given words."""
        wanted = {"split": split, "label": label, "modality": modality}
        fitting = tuple(
            sample
            for sample in self.samples
            if all(value is None or getattr(sample, name) == value for name, value in wanted.items())
        )
        return replace(self, samples=fitting)

    def __len__(self) -> int:
        return len(self.samples)


def read_cohort(path: Path) -> Cohort:
    """Read and check a cohort file; raises BadCohort naming the line and the fault."""
    rows = _rows(path)
    digest = hashlib.sha256()
    samples: list[Sample] = []
    lines: list[int] = []
    for line, row in rows:
        samples.append(_sample(path, line, row))
        lines.append(line)
        digest.update("\0".join(row[column] for column in COLUMNS).encode())
        for file in (samples[-1].volume, samples[-1].mask):
            digest.update(_fingerprint(path, line, file))
    if not samples:
        raise BadCohort(f"{path} lists no volumes.", f"Add a row under the columns {','.join(COLUMNS)}.")
    _check_together(path, lines, samples)
    return Cohort(tuple(samples), path, digest.hexdigest())


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        if path.stat().st_size > LARGEST_TABLE:
            raise BadCohort(f"{path} is too large for a cohort table.", "Choose a CSV file.")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise BadCohort(f"There is no cohort file {path}.", "Check the path.") from error
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise BadCohort(f"{path} cannot be read as a text file.", "Choose a CSV file in UTF-8.") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header)
        return [(reader.line_num, _row(path, reader.line_num, header, row)) for row in reader if any(row)]
    except csv.Error as error:
        raise BadCohort(f"{path}, line {reader.line_num}: {error}.", "Save it as plain CSV.") from error


def _check_header(path: Path, header: list[str]) -> None:
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise BadCohort(f"{path}, line 1: the column {missing[0]} is missing.", f"The columns are {','.join(COLUMNS)}.")
    double = [column for column in COLUMNS if header.count(column) > 1]
    if double:
        raise BadCohort(f"{path}, line 1: the column {double[0]} occurs twice.", "Keep one of them.")


def _row(path: Path, line: int, header: list[str], row: list[str]) -> dict[str, str]:
    if len(row) != len(header):
        raise BadCohort(f"{path}, line {line}: {len(row)} fields where the header has {len(header)}.", "Mend the line.")
    return {name: value.strip() for name, value in zip(header, row, strict=True)}


def _sample(path: Path, line: int, row: dict[str, str]) -> Sample:
    def refuse(fault: str, remedy: str = "Mend the line.") -> BadCohort:
        return BadCohort(f"{path}, line {line}: {fault}.", remedy)

    for column, words in (("label", get_args(Label)), ("split", get_args(Split))):
        if row[column] not in words:
            raise refuse(f"the {column} is '{row[column]}'", f"It must be one of {', '.join(words)}.")
    for column in ("subject", "volume"):
        if not row[column]:
            raise refuse(f"the {column} is empty")
    if set(row["slice_labels"]) - {"0", "1"}:
        raise refuse("slice_labels may hold only 0 and 1", "Write one character a slice along the last voxel axis.")
    if row["label"] == "normal" and "1" in row["slice_labels"]:
        raise refuse("a normal volume has a slice labelled 1")
    return Sample(
        subject=row["subject"],
        volume=path.parent / row["volume"],
        modality=row["modality"],
        label=cast(Label, row["label"]),
        split=cast(Split, row["split"]),
        mask=path.parent / row["mask"] if row["mask"] else None,
        slice_labels=row["slice_labels"],
    )


def _fingerprint(path: Path, line: int, file: Path | None) -> bytes:
    if file is None:
        return b"-"
    try:
        with file.open("rb") as content:
            head = content.read(FINGERPRINT_BYTES)
            size = content.seek(0, io.SEEK_END)
            content.seek(max(size - FINGERPRINT_BYTES, 0))
            return hashlib.sha256(str(size).encode() + head + content.read(FINGERPRINT_BYTES)).digest()
    except (OSError, ValueError) as error:
        raise BadCohort(
            f"{path}, line {line}: there is no readable file {file}.", "Paths are relative to the cohort file."
        ) from error


def _check_together(path: Path, lines: list[int], samples: list[Sample]) -> None:
    splits: dict[str, tuple[int, str]] = {}
    volumes: dict[Path, int] = {}
    for line, sample in zip(lines, samples, strict=True):
        first, split = splits.setdefault(sample.subject, (line, sample.split))
        if split != sample.split:
            raise BadCohort(
                f"{path}, line {line}: the subject {sample.subject} is in the split {sample.split} here "
                f"and in {split} on line {first}.",
                "A subject belongs to one split, or the figures would be too good.",
            )
        if volumes.setdefault(sample.volume, line) != line:
            raise BadCohort(
                f"{path}, line {line}: the volume {sample.volume} is listed on line {volumes[sample.volume]} already.",
                "Remove one of the two lines.",
            )
