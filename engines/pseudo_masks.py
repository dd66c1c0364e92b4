"""Pseudo-masks on disk: what a weakly supervised first stage found, for the network that learns from it.

One folder: index.json and a safetensors file a volume, all arrays on the volume's own grid. Written by the DDPT engine
(`python -m engines.ddpt.pseudo_masks`), read by RASALoRE, which never imports the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as pack_tensors

from engines.atomic import recover, whole_folder
from engines.errors import BadInput
from engines.samples import Cohort, Sample

INDEX = "index.json"
FORMAT: Literal["brainviewer pseudo-masks"] = "brainviewer pseudo-masks"
VERSION: Literal[1] = 1
LARGEST_INDEX = 64 << 20
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors$")]


@dataclass(frozen=True, slots=True, eq=False)
class PseudoMask:
    """One volume's pseudo-mask and what is known about it, on the volume's own grid.

    map: float32 (i, j, k), 0..1, the highest of each slice is 1; 0 where not looked at. mask: bool (i, j, k), where the
    map is high, empty in gated slices. refined: bool (i, j, k), a second opinion on the outline, or None. region: bool
    (i, j, k), what was looked at. Per slice along slice_axis: probability of a lesion (NaN where not looked at), gated
    (the slice is known or believed to be healthy), confidence 0..1 in the mask.
    """

    map: NDArray[np.float32]
    mask: NDArray[np.bool_]
    refined: NDArray[np.bool_] | None
    region: NDArray[np.bool_]
    probability: NDArray[np.float32]
    gated: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    slice_axis: int

    def to_bytes(self) -> bytes:
        """A safetensors file."""
        arrays: dict[str, NDArray[Any]] = {
            "map": self.map.astype(np.float16),
            "mask": self.mask.astype(np.uint8),
            "region": self.region.astype(np.uint8),
            "probability": self.probability.astype(np.float32),
            "gated": self.gated.astype(np.uint8),
            "confidence": self.confidence.astype(np.float32),
        }
        if self.refined is not None:
            arrays["refined"] = self.refined.astype(np.uint8)
        return bytes(pack_tensors({name: np.ascontiguousarray(array) for name, array in arrays.items()}))


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(_Part):
    """One volume of the store. volume: its path as the cohort file writes it."""

    subject: str
    volume: str
    split: Literal["train", "val", "test"]
    file: FileName
    sha256: Sha256
    slice_axis: Annotated[int, Field(ge=0, le=2)]
    shape: tuple[int, int, int]


class Index(_Part):
    """The content of index.json."""

    format: Literal["brainviewer pseudo-masks"] = FORMAT
    version: Literal[1] = VERSION
    engine: str
    model: str
    model_digest: str
    cohort: str
    cohort_digest: str
    settings: dict[str, Any] = Field(default_factory=dict)
    refined: bool = False
    volumes: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class PseudoStore:
    """A folder of pseudo-masks; arrays are read one volume at a time."""

    folder: Path
    index: Index

    @classmethod
    def open(cls, folder: Path) -> PseudoStore:
        """The store in a folder; raises BadInput where it is none."""
        recover(folder)
        path = folder / INDEX
        try:
            text = path.read_bytes() if path.stat().st_size <= LARGEST_INDEX else b""
            return cls(folder, Index.model_validate_json(text))
        except OSError as error:
            raise BadInput(f"{folder} holds no pseudo-masks: it has no readable {INDEX}.", _REMEDY) from error
        except ValidationError as error:
            raise BadInput(f"{path} is not a valid index of pseudo-masks.", _REMEDY) from error

    @property
    def subjects(self) -> tuple[str, ...]:
        """Every subject once."""
        return tuple(dict.fromkeys(entry.subject for entry in self.index.volumes))

    def for_sample(self, sample: Sample) -> PseudoMask:
        """The pseudo-mask of a cohort's sample, found by subject and file name; raises BadInput where there is none."""
        for entry in self.index.volumes:
            if entry.subject == sample.subject and Path(entry.volume).name == sample.volume.name:
                return self._load(entry)
        raise BadInput(f"There is no pseudo-mask of {sample.volume.name} in {self.folder}.", _REMEDY)

    def read(self, subject: str) -> PseudoMask:
        """The pseudo-mask of a subject's first volume; raises BadInput where there is none."""
        for entry in self.index.volumes:
            if entry.subject == subject:
                return self._load(entry)
        raise BadInput(f"There is no pseudo-mask of {subject} in {self.folder}.", _REMEDY)

    def check_cohort(self, cohort: Cohort) -> None:
        """Raises BadInput when the masks were made for another cohort file."""
        if self.index.cohort_digest != cohort.digest:
            raise BadInput(
                f"The pseudo-masks in {self.folder} were made for another cohort than {cohort.path}.", _REMEDY
            )

    def _load(self, entry: Entry) -> PseudoMask:
        path = self.folder / entry.file
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BadInput(f"{path} cannot be read.", _REMEDY) from error
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise BadInput(f"{path} is damaged or was altered.", _REMEDY)
        try:
            return _unpacked(parse_tensors(content), entry)
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise BadInput(f"{path} is not a pseudo-mask file.", _REMEDY) from error


_REMEDY = "Make them with `python -m engines.ddpt.pseudo_masks MODEL COHORT.csv --out FOLDER`."


def write(folder: Path, index: Index, made: Iterator[tuple[Sample, str, PseudoMask]]) -> PseudoStore:
    """Write a store, whole or not at all. made: sample, its volume's path in the cohort file, its pseudo-mask."""
    entries: list[Entry] = []
    with whole_folder(folder, marker=INDEX) as fresh:
        for sample, volume, found in made:
            content = found.to_bytes()
            name = _file_name(sample.subject, {entry.file for entry in entries})
            (fresh / name).write_bytes(content)
            entries.append(
                Entry(
                    subject=sample.subject,
                    volume=volume,
                    split=sample.split,
                    file=name,
                    sha256=hashlib.sha256(content).hexdigest(),
                    slice_axis=found.slice_axis,
                    shape=found.map.shape,
                )
            )
        whole = index.model_copy(update={"volumes": tuple(entries)})
        text = json.dumps(whole.model_dump(mode="json"), indent=1)
        (fresh / INDEX).write_text(text + "\n", encoding="utf-8")
    return PseudoStore(folder, whole)


def _file_name(subject: str, taken: set[str]) -> str:
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in subject)
    names = (f"{plain}{suffix}.safetensors" for suffix in ("", *(f"-{number}" for number in range(1, len(taken) + 2))))
    return next(name for name in names if name not in taken)


def _unpacked(arrays: dict[str, NDArray[Any]], entry: Entry) -> PseudoMask:
    shape, slices = entry.shape, (entry.shape[entry.slice_axis],)
    wanted = {
        "map": shape,
        "mask": shape,
        "region": shape,
        "probability": slices,
        "gated": slices,
        "confidence": slices,
    }
    if "refined" in arrays:
        wanted["refined"] = shape
    if any(arrays[name].shape != size for name, size in wanted.items()):
        raise ValueError("another shape than the index tells")
    refined = arrays["refined"] > 0 if "refined" in arrays else None
    return PseudoMask(
        arrays["map"].astype(np.float32),
        arrays["mask"] > 0,
        refined,
        arrays["region"] > 0,
        arrays["probability"].astype(np.float32),
        arrays["gated"] > 0,
        arrays["confidence"].astype(np.float32),
        entry.slice_axis,
    )
