"""BIDS derivatives: derivatives/brainviewer-ENGINE/sub-X/anat with heatmap, mask, findings and their sidecars."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import brainviewer
from brainviewer.export import facts
from brainviewer.export.coding import RESEARCH
from brainviewer.export.nifti import save

if TYPE_CHECKING:
    from brainviewer.export.order import Order

VERSION = "1.10.0"
_ENTITY = re.compile(r"(?:^|_)(sub|ses)-([a-zA-Z0-9]+)(?=_|$)")


def write(order: Order, folder: Path) -> None:
    """The folder of one run; `subject` names it by a BIDS file name or by the series, never by a patient's name."""
    subject, session = subject_of(order)
    root = folder / "derivatives" / f"brainviewer-{order.material.engine}"
    place = root / subject / session / "anat" if session else root / subject / "anat"
    place.mkdir(parents=True)
    _json(root / "dataset_description.json", _dataset(order))
    stem = "_".join(part for part in (subject, session, "space-orig") if part)
    affine, engine = order.material.volume.affine, order.material.engine
    sidecar = _sidecar(order)
    volumes: dict[str, tuple[NDArray[Any], str]] = {
        f"{stem}_desc-{engine}_probseg": (order.material.percentiles / 100, "healthy percentile / 100"),
        f"{stem}_desc-{engine}raw_map": (order.material.result.heatmap, "raw value of the engine"),
        f"{stem}_label-anomaly_desc-{engine}_mask": (order.material.mask.astype(np.uint8), "1 = abnormal"),
        f"{stem}_desc-{engine}_dseg": (order.material.labels, "number of the finding"),
    }
    for name, (values, meaning) in volumes.items():
        save(place / f"{name}.nii.gz", values, affine)
        _json(place / f"{name}.json", {**sidecar, "Description": meaning})


def subject_of(order: Order) -> tuple[str, str]:
    """(sub-X, ses-Y or ""): from a BIDS file name, else made from the study's identity."""
    found = dict(_ENTITY.findall(_bids_name(order)))
    if "sub" in found:
        return f"sub-{found['sub']}", f"ses-{found['ses']}" if "ses" in found else ""
    from brainviewer.export.uids import repeatable

    source = order.material.source
    known_by = source.study.uid if source is not None else order.material.result.provenance.volume_uid
    uid = repeatable("subject", order.uid(known_by))
    return f"sub-{uid[-10:]}", ""


def _dataset(order: Order) -> dict[str, Any]:
    how = order.material.result.provenance
    return {
        "Name": f"BrainViewer {how.engine}: anomaly heatmaps and masks",
        "BIDSVersion": VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [
            {"Name": "BrainViewer", "Version": brainviewer.__version__, "Description": f"{how.model}. {RESEARCH}"}
        ],
        "SourceDatasets": [],
    }


def _bids_name(order: Order) -> str:
    """The name of the scan's file where it is one of BIDS and may be told; else ""."""
    source = order.material.source
    if source is None or source.series.format != "nifti" or order.deidentifier is not None:
        return ""
    name = source.series.files[0].name
    return name if name.startswith("sub-") else ""


def _sidecar(order: Order) -> dict[str, Any]:
    told, name = facts.run(order), _bids_name(order)
    return {
        "Sources": [f"bids:raw:{name}"] if name else [],
        "SpatialReference": "orig",
        "Engine": told["engine"],
        "Model": told["model"],
        "ModelSHA256": told["model_sha256"],
        "ThresholdUsed": told["threshold_percentile"],
        "Manual": told["mask_corrected_by_a_reader"],
        "Warnings": told["warnings"],
        "Notice": told["notice"],
    }


def _json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
