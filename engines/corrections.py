"""Corrected masks on their way between readers, programs and training.

A folder with, for each correction, NAME.json and beside it NAME_mask.nii.gz (as corrected), NAME_automatic.nii.gz (as
the engine made it) and, for training, NAME_scan.nii.gz; the JSON file names them with their digests and gives every
slice its state. No patient's name is in a path or a file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import BadInput, KnownError
from engines.files import read_volume
from engines.volume import Volume

FORMAT, VERSION = "brainviewer corrections", 1
AUTO, CONFIRMED, CORRECTED, REJECTED, INTERPOLATED = (
    "auto", "confirmed", "corrected", "rejected-healthy", "interpolated",
)  # fmt: skip
STATES = (AUTO, CONFIRMED, CORRECTED, REJECTED, INTERPOLATED)
# What a reader has looked at and decided.
DECIDED = (CONFIRMED, CORRECTED, REJECTED)
NAME = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)


@dataclass(frozen=True, slots=True, eq=False)
class CorrectedVolume:
    """One corrected mask.

    name: of its files. series: uid of the scan. subject: keeps the scans of one patient together in a split; the
    series where nothing else is known. reader: who corrected. mask, automatic: bool (i, j, k). states: one of STATES
    for each slice along slice_axis. scan: file with the scan's voxels, or None. affine: voxel -> RAS+ mm.
    engine, model_digest: what made the automatic mask; percentile: its threshold in healthy percentiles, None unknown.
    """

    name: str
    series: str
    subject: str
    reader: str
    mask: NDArray[np.bool_]
    automatic: NDArray[np.bool_]
    states: tuple[str, ...]
    slice_axis: int
    affine: NDArray[np.float64]
    scan: Path | None = None
    modality: str = ""
    engine: str = ""
    model_digest: str = ""
    percentile: float | None = None
    calibrated: bool = True

    def __post_init__(self) -> None:
        if self.mask.shape != self.automatic.shape or len(self.states) != self.mask.shape[self.slice_axis]:
            raise ValueError("Masks and slice states of a correction do not fit together.")
        if not set(self.states) <= set(STATES):
            raise ValueError(f"Slice states are {', '.join(STATES)}.")

    @property
    def decided(self) -> NDArray[np.bool_]:
        """Slices a reader has decided, bool (slices,)."""
        return np.isin(self.states, DECIDED)

    def volume(self) -> Volume:
        """The scan; raises BadInput where it is not at hand or lies on another grid."""
        if self.scan is None:
            raise BadInput(f"The scan of the correction {self.name} is not at hand.", "Export it with its scan.")
        found = read_volume(self.scan, self.modality)
        if found.shape != self.mask.shape:
            raise BadInput(f"{self.scan} has another grid than the correction {self.name}.", "Export it again.")
        return Volume(found.voxels, self.affine, self.modality, self.series, self.calibrated)


def write(folder: Path, corrected: CorrectedVolume, scan: Volume | None = None) -> Path:
    """Store a correction; returns its JSON file, which is written last. scan: stored beside it for training.

    Without `scan` the JSON file refers to `corrected.scan` where that is known.
    """
    if not NAME.fullmatch(corrected.name):
        raise ValueError(f"a correction cannot be called {corrected.name!r}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = {
            "mask": _image(folder, f"{corrected.name}_mask", corrected.mask.astype(np.uint8), corrected.affine),
            "automatic": _image(
                folder, f"{corrected.name}_automatic", corrected.automatic.astype(np.uint8), corrected.affine
            ),
        }
        if scan is not None:
            files["scan"] = _image(folder, f"{corrected.name}_scan", scan.voxels, corrected.affine)
        elif corrected.scan is not None:
            files["scan"] = _entry(corrected.scan, os.path.relpath(corrected.scan, folder))
        target = folder / f"{corrected.name}.json"
        _replace(target, (json.dumps(_facts(corrected, files), indent=1) + "\n").encode())
    except OSError as error:
        raise KnownError(
            f"The corrections cannot be written to {folder}: {error.strerror or error}.",
            "Check free space and permissions.",
        ) from error
    return target


def read(folder: Path) -> list[CorrectedVolume]:
    """Every correction of a folder, by name; raises BadInput for a damaged one or where there is none."""
    found = [_read(path) for path in sorted(folder.glob("*.json")) if _is_correction(path)]
    if not found:
        raise BadInput(f"There are no corrections in {folder}.", "Export them with `brainviewer corrections export`.")
    return found


def read_one(path: Path) -> CorrectedVolume:
    """One correction by its JSON file."""
    if not _is_correction(path):
        raise BadInput(f"{path} is no correction.", "Choose the JSON file that was exported beside the masks.")
    return _read(path)


def _facts(corrected: CorrectedVolume, files: dict[str, dict[str, str]]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "series": corrected.series,
        "subject": corrected.subject,
        "reader": corrected.reader,
        "engine": corrected.engine,
        "model_sha256": corrected.model_digest,
        "threshold_percentile": corrected.percentile,
        "modality": corrected.modality,
        "calibrated": corrected.calibrated,
        "slice_axis": corrected.slice_axis,
        "states": list(corrected.states),
        "files": files,
        "notice": "Research use only; not for diagnosis.",
    }


def _image(folder: Path, stem: str, voxels: NDArray[Any], affine: NDArray[np.float64]) -> dict[str, str]:
    import nibabel

    image = nibabel.Nifti1Image(voxels, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=0, strip_shears=True)
    image.header.set_xyzt_units("mm")
    target = folder / f"{stem}.nii.gz"
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        path = Path(fresh) / target.name
        nibabel.save(image, path)
        path.replace(target)
    return _entry(target, target.name)


def _entry(path: Path, name: str) -> dict[str, str]:
    return {"path": Path(name).as_posix(), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _replace(target: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(target)


def _is_correction(path: Path) -> bool:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(facts, dict) and facts.get("format") == FORMAT


def _read(path: Path) -> CorrectedVolume:
    facts = json.loads(path.read_text(encoding="utf-8"))
    if facts.get("version") != VERSION:
        raise BadInput(f"{path} has the version {facts.get('version')!r}, not {VERSION}.", "Update BrainViewer.")
    try:
        mask, automatic = (_checked(path, facts["files"][name]) for name in ("mask", "automatic"))
        scan = facts["files"].get("scan")
        drawn, made = read_volume(mask), read_volume(automatic)
        return CorrectedVolume(
            path.stem, str(facts["series"]), str(facts["subject"]), str(facts["reader"]), drawn.voxels > 0,
            made.voxels > 0, tuple(facts["states"]), int(facts["slice_axis"]), drawn.affine,
            _checked(path, scan) if scan else None, str(facts["modality"]), str(facts["engine"]),
            str(facts["model_sha256"]), facts["threshold_percentile"], bool(facts["calibrated"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"The correction {path} is damaged.", "Export it again.") from error


def _checked(path: Path, entry: dict[str, str]) -> Path:
    """A file the JSON names, unchanged since."""
    found = path.parent / entry["path"]
    try:
        digest = hashlib.sha256(found.read_bytes()).hexdigest()
    except OSError as error:
        raise BadInput(f"{found}, which belongs to {path.name}, cannot be read.", "Export it again.") from error
    if digest != entry["sha256"]:
        raise BadInput(f"{found} was changed since {path.name} was written.", "Export it again.")
    return found
