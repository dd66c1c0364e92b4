"""From a stored run to what exports and reports are made from. Runs in a worker or a command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brainviewer.storage import corrections
from brainviewer.storage.corrections import About
from brainviewer.study import Series, Study
from brainviewer.study.material import Material, Source
from engines import AnomalyResult, BadInput, Report, Volume, silent

if TYPE_CHECKING:
    from engines.findings import Finding

SAME_GRID_MM = 1e-3


def gather(
    folder: Path,
    study: Study | None = None,
    threshold: float | None = None,
    corrected: Path | About | None = None,
    reader: str = "",
    report: Report = silent,
) -> Material:
    """A stored run with its scan, its findings and, where given, the mask as a reader corrected it.

    corrected: a drawn mask as NIfTI with its reader, or a correction that was made in the viewer.
    study: where the scan is looked for, by the series the run was made on. threshold: healthy percentile; None takes
    the one the run was stored with. Raises BadInput where run, scan or mask do not belong together.
    """
    from brainviewer.study.orientation import is_oriented
    from engines import findings, results

    result = results.read(folder)
    heat = Volume(result.heatmap, _affine(folder), _stored(folder, "modality", ""), result.provenance.volume_uid)
    source = None if study is None else Source(study, _series(study, result))
    volume = _without_scan(folder, heat) if source is None else _scan(source.series, heat, report)
    percentile = float(_stored(folder, "mask_percentile", 99.0)) if threshold is None else threshold
    percentiles = np.zeros(result.heatmap.shape, np.float32, order="F")
    percentiles[result.region] = result.scale.percentile(result.heatmap[result.region])
    oriented = is_oriented(volume)
    if corrected is None:
        mask, least_ml = result.mask(percentile), findings.LEAST_ML
        found = findings.findings(
            [percentiles], [result.region], volume.affine, percentile,
            calibrated=volume.calibrated, oriented=oriented, least_ml=least_ml,
        )  # fmt: skip
    else:
        mask, reader = _corrected(corrected, volume, reader)
        found = _places(mask, percentiles, volume, oriented)
    return Material(
        result=result,
        volume=volume,
        percentiles=percentiles,
        threshold=percentile,
        mask=mask,
        findings=tuple(found),
        labels=findings.label_map(mask, found, volume.affine),
        source=source,
        side_known=oriented,
        corrected_by=(reader or "unnamed reader") if corrected is not None else "",
    )


def _stored(folder: Path, name: str, default: Any) -> Any:
    return json.loads((folder / "result.json").read_text(encoding="utf-8")).get(name, default)


def _affine(folder: Path) -> NDArray[np.float64]:
    return np.array(_stored(folder, "affine", np.eye(4).tolist()), float)


def _without_scan(folder: Path, heat: Volume) -> Volume:
    """The heatmap's grid stands for the scan; a run without a volume in ml was made on an uncalibrated picture."""
    return Volume(heat.voxels, heat.affine, heat.modality, heat.uid, _stored(folder, "mask_ml", None) is not None)


def _series(study: Study, result: AnomalyResult) -> Series:
    uid = result.provenance.volume_uid
    found = [series for series in study.series if series.uid == uid]
    if not found:
        raise BadInput(
            "The run was made on another scan than the one that was named.",
            "Name the study, file or folder that the engine ran on.",
        )
    return found[0]


def _scan(series: Series, heat: Volume, report: Report) -> Volume:
    from brainviewer import reading

    volume = reading.load(series, report)
    if volume.shape != heat.shape or np.abs(volume.affine - heat.affine).max() > SAME_GRID_MM:
        raise BadInput("The scan lies on another grid than the run: it was changed since.", "Run the engine again.")
    return volume


def _corrected(given: Path | About, volume: Volume, reader: str) -> tuple[NDArray[np.bool_], str]:
    """The drawn mask on the scan's grid, and who drew it."""
    from engines.comparison import on_grid
    from engines.files import read_volume

    if isinstance(given, About):
        if given.shape != volume.shape or given.series != volume.uid:
            raise BadInput("The correction was made on another series than the run.", "Name one of this series.")
        return corrections.load(corrections.folder(given)).correction.mask > 0, given.reader
    drawn = read_volume(given)
    mask: NDArray[np.bool_] = on_grid(drawn.voxels > 0, drawn.affine, volume.shape, volume.affine, "nearest")
    return mask, reader


def _places(mask: NDArray[np.bool_], percentiles: NDArray[np.float32], volume: Volume, oriented: bool) -> list[Finding]:
    """Findings of a drawn mask: all its places, however small, with the heatmap's peak inside each."""
    from engines import findings

    # Values shifted above any percentile, so that the threshold divides inside from outside exactly.
    lifted = np.where(mask, percentiles + 200, 0).astype(np.float32)
    found = findings.findings(
        [lifted], [np.ones(mask.shape, bool)], volume.affine, 150.0,
        calibrated=volume.calibrated, oriented=oriented, least_ml=0.0,
    )  # fmt: skip
    return [replace(one, peak=one.peak - 200) for one in found]
