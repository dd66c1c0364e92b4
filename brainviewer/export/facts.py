"""A run in plain numbers and words, the same for every table: no names, no paths, identifiers as they may leave."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import brainviewer
from brainviewer.export.coding import RESEARCH
from brainviewer.export.dicom_seg import tracking

if TYPE_CHECKING:
    from brainviewer.export.order import Order


def findings(order: Order) -> list[dict[str, Any]]:
    """One row a finding. Positions in RAS+ mm of the scanner."""
    rows = []
    for number, one in enumerate(order.material.findings, start=1):
        name, uid = tracking(order, number)
        rows.append(
            {
                "finding": number,
                "volume_ml": one.volume_ml,
                "voxels": one.voxels,
                "peak_percentile": one.peak,
                "side": one.side,
                **{f"peak_{axis}_mm": mm for axis, mm in zip("RAS", one.peak_mm, strict=True)},
                **{f"centroid_{axis}_mm": mm for axis, mm in zip("RAS", one.centroid_mm, strict=True)},
                "tracking_id": name,
                "tracking_uid": uid,
            }
        )
    return rows


def slices(order: Order) -> list[dict[str, Any]]:
    """One row a slice along the scored axis."""
    result = order.material.result
    pairs = zip(result.slice_scores, result.slice_percentiles, strict=True)
    return [{"slice": n, "score": known(a), "percentile": known(b)} for n, (a, b) in enumerate(pairs)]


def run(order: Order) -> dict[str, Any]:
    """What was run on what, and what it said of the whole study."""
    material, result = order.material, order.material.result
    how = result.provenance
    return {
        "engine": how.engine,
        "model": how.model,
        "model_sha256": how.model_digest,
        "modality": material.volume.modality,
        "series": order.uid(how.volume_uid),
        "deidentified": order.deidentifier is not None,
        "score": known(result.score),
        "score_percentile": known(result.score_percentile),
        "threshold_percentile": material.threshold,
        "threshold_value": result.scale.value(material.threshold),
        "mask_voxels": int(material.mask.sum()),
        "mask_ml": material.mask_ml,
        "mask_corrected_by_a_reader": bool(material.corrected_by),
        "slice_axis": result.slice_axis,
        "settings": dict(how.settings),
        "preparation": list(how.preparation),
        "warnings": list(how.warnings),
        "device": how.device,
        "precision": how.precision,
        "seconds": how.seconds,
        "versions": {**how.versions, "brainviewer": brainviewer.__version__},
        "notice": RESEARCH,
    }


def known(value: float | None) -> float | None:
    """A number for a table; None for one that is not known."""
    return None if value is None or not math.isfinite(value) else float(value)
