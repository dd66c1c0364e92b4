"""`brainviewer quality`: is this scan corrupted? How far it lies from healthy scans as a whole."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from brainviewer.commands.engines import AsJson, Device
from brainviewer.commands.outcome import known_trouble, note, tell

ENGINE = "itermask3d"
UNUSUAL = 95.0  # percentile of healthy studies; the most unusual of twelve stands at 95.8


def quality(
    path: Annotated[Path, typer.Argument(help="A DICOM folder, file, DICOMDIR or ZIP, or a NIfTI file.")],
    model: Annotated[str, typer.Option(help="IterMask3D model folder or name; else the one that fits.")] = "",
    series: Annotated[str, typer.Option(help="Series UID or its beginning; else the one that fits the model.")] = "",
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Tell how unusual a scan is among healthy ones: noise, motion, missing parts and the like raise its score.

    Its signs: how well it is filled in (curve, error), its grey levels, sharpness and shading, and the air around it.
    """
    from brainviewer import reading
    from brainviewer.commands.matching import match, model_at, models_at_hand
    from engines import catalog
    from engines.result import SIGNS
    from engines.terminal import progress

    with known_trouble():
        studies = reading.scan([path])
        found = match(ENGINE, [model_at(model)] if model else models_at_hand(), studies, series)
        card = found.model.card
        with progress() as report:
            volume = reading.load(found.series, report)
            result = catalog.create(ENGINE, found.model.folder, device).detect(volume, report)
        study = next(study for study in studies if found.series in study.series)
        note("run", study.uid, engine=ENGINE, model=card.digest)
        known = math.isfinite(result.score_percentile)
        tell(
            {
                "series": found.series.modality or found.series.uid,
                "model": f"{card.name} {card.version}",
                "score": round(result.score, 3),
                "percentile_of_healthy_scans": round(result.score_percentile, 1) if known else None,
                "signs": _signs(result.extras.get(SIGNS)),
                "verdict": verdict(result.score_percentile),
                "warnings": list(result.provenance.warnings),
            },
            as_json,
        )


def _signs(distances: Any) -> str:
    """How far each sign lies from healthy scans, in standard deviations, the farthest first."""
    from engines.result import SIGN_NAMES

    if distances is None:
        return "unknown"
    known = [(value, name) for value, name in zip(distances.tolist(), SIGN_NAMES, strict=True) if math.isfinite(value)]
    return ", ".join(f"{name} {value:.1f}" for value, name in sorted(known, reverse=True)) or "unknown"


def verdict(percentile: float) -> str:
    """In words what a study's percentile among healthy scans means."""
    if not math.isfinite(percentile):
        return "unknown: this model was calibrated on too few healthy scans"
    if percentile >= UNUSUAL:
        return "unlike healthy scans: look for artefacts; another scanner or a large lesion does the same"
    return "like healthy scans"
