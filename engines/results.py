"""A run on disk: heatmap, mask and region as NIfTI on the volume's own grid, slice scores as CSV, the rest as JSON."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.atomic import recover, whole_folder
from engines.calibration import slice_heights
from engines.errors import BadInput, BadVolume
from engines.files import read_volume
from engines.result import DEFAULT_PERCENTILE, AnomalyResult, PercentileScale, Provenance
from engines.volume import Volume

SCHEMA_VERSION = 1
EXTRA_NAME = re.compile("[a-z0-9][a-z0-9_ ]*", re.ASCII)
RESULT, HEATMAP, MASK, REGION, SLICES = (
    "result.json", "heatmap.nii.gz", "mask.nii.gz", "region.nii.gz", "slice_scores.csv",
)  # fmt: skip


def write(folder: Path, result: AnomalyResult, volume: Volume, percentile: float = DEFAULT_PERCENTILE) -> None:
    """Store a run, whole or not at all. heatmap: raw values; mask: voxels above the healthy percentile.

    region.nii.gz marks the scored voxels, so that the run can be read back exactly. Extras on the volume's grid become
    extra_NAME.nii.gz, curves lie in result.json.
    """
    with whole_folder(folder, marker=RESULT) as fresh:
        _save(fresh / HEATMAP, result.heatmap, volume)
        _save(fresh / MASK, result.mask(percentile).astype(np.uint8), volume)
        _save(fresh / REGION, result.region.astype(np.uint8), volume)
        for name, extra in result.extras.items():
            if extra.ndim > 1:
                _save(fresh / _extra(name), extra, volume)
        _write_slices(fresh / SLICES, result, volume)
        text = json.dumps(summary(result, volume, percentile), indent=1, allow_nan=False)
        (fresh / RESULT).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> AnomalyResult:
    """A stored run; raises BadInput for a damaged one."""
    recover(folder)
    try:
        stored = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(
            f"{folder} is not a stored run: it has no readable {RESULT}.", "Run the engine again."
        ) from error
    version = stored.get("schema_version") if isinstance(stored, dict) else None
    if version != SCHEMA_VERSION:
        raise BadInput(f"The run in {folder} has the format {version!r}, not {SCHEMA_VERSION}.", "Run it again.")
    try:
        return _assemble(folder, stored)
    except (OSError, KeyError, ValueError, TypeError, BadVolume) as error:
        raise BadInput(f"The stored run in {folder} is damaged.", "Run the engine again.") from error


def summary(result: AnomalyResult, volume: Volume, percentile: float = DEFAULT_PERCENTILE) -> dict[str, Any]:
    """What result.json holds: plain values, None for what is not known."""
    inside = result.mask(percentile)
    voxel_ml = abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000
    return {
        "schema_version": SCHEMA_VERSION,
        "engine": result.provenance.engine,
        "score": _number(result.score),
        "score_percentile": _number(result.score_percentile),
        "threshold": result.threshold,
        "mask_percentile": percentile,
        "mask_voxels": int(inside.sum()),
        "mask_ml": inside.sum() * voxel_ml if volume.calibrated else None,
        "slice_axis": result.slice_axis,
        "highest_slice": _highest(result.slice_scores),
        "shape": list(result.heatmap.shape),
        "affine": volume.affine.tolist(),
        "modality": volume.modality,
        "scale": {"values": result.scale.values.tolist(), "percentiles": result.scale.percentiles.tolist()},
        "provenance": _plain(result.provenance.to_json()),
        "files": {"heatmap": HEATMAP, "mask": MASK, "region": REGION, "slice_scores": SLICES},
        "extras": [name for name, extra in result.extras.items() if extra.ndim > 1],
        "curves": {name: [*map(_number, extra)] for name, extra in result.extras.items() if extra.ndim == 1},
        "notice": "Research use only; not for diagnosis.",
    }


def _save(path: Path, voxels: NDArray[Any], volume: Volume) -> None:
    import nibabel

    image = nibabel.Nifti1Image(voxels, volume.affine)
    # Code 1: the scanner's own space, which is where the volume lies.
    image.set_sform(volume.affine, code=1)
    image.set_qform(volume.affine, code=0, strip_shears=True)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def _write_slices(path: Path, result: AnomalyResult, volume: Volume) -> None:
    heights = slice_heights(result.region, volume.affine, result.slice_axis)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["slice", "height", "score", "percentile"])
        for index, row in enumerate(zip(heights, result.slice_scores, result.slice_percentiles, strict=True)):
            table.writerow([index, *(repr(float(value)) if np.isfinite(value) else "" for value in row)])


def _assemble(folder: Path, stored: dict[str, Any]) -> AnomalyResult:
    heatmap = read_volume(folder / HEATMAP).voxels
    with (folder / SLICES).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    scores, percentiles = (
        np.array([float(row[name] or "nan") for row in rows], np.float32) for name in ("score", "percentile")
    )
    axis = int(stored["slice_axis"])
    if list(heatmap.shape) != stored["shape"] or len(scores) != heatmap.shape[axis]:
        raise ValueError("the files of the run do not fit together")
    scale = stored["scale"]
    return AnomalyResult(
        heatmap=heatmap,
        scale=PercentileScale(np.array(scale["values"], float), np.array(scale["percentiles"], float)),
        region=read_volume(folder / REGION).voxels > 0,
        slice_axis=axis,
        slice_scores=scores,
        slice_percentiles=percentiles,
        score=_read_number(stored["score"]),
        score_percentile=_read_number(stored["score_percentile"]),
        threshold=float(stored["threshold"]),
        provenance=_provenance(stored["provenance"]),
        extras=_extras(folder, stored),
    )


def _extra(name: str) -> str:
    if not EXTRA_NAME.fullmatch(name):
        raise ValueError(f"an extra cannot be called {name!r}")
    return f"extra_{name.replace(' ', '_')}.nii.gz"


def _extras(folder: Path, stored: dict[str, Any]) -> dict[str, NDArray[Any]]:
    volumes = {name: _extra_voxels(folder / _extra(name), stored["shape"]) for name in stored["extras"]}
    return volumes | {name: np.array([*map(_read_number, curve)]) for name, curve in stored["curves"].items()}


def _extra_voxels(path: Path, shape: list[int]) -> NDArray[Any]:
    """A volume as float32, or whole numbers as they were stored: bits do not fit into a float."""
    import nibabel

    image = nibabel.Nifti1Image.from_filename(path)
    if image.get_data_dtype().kind not in "iu" or list(image.shape[:3]) != shape:
        return read_volume(path).voxels
    return np.asanyarray(image.dataobj)


def _provenance(stored: dict[str, Any]) -> Provenance:
    lists = {name: tuple(stored[name]) for name in ("preparation", "warnings")}
    return Provenance(**{**stored, **lists})


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _read_number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _highest(scores: NDArray[np.float32]) -> int | None:
    return int(np.nanargmax(scores)) if np.isfinite(scores).any() else None


def _plain(value: dict[str, Any]) -> Any:
    return json.loads(json.dumps(value, default=str))
