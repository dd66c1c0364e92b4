"""The science of BrainViewer: anomaly-detection engines. Importing this door does not import torch.

Words, one per idea: study > series > volume, slice, heatmap, slice score, mask, pseudo-mask, correction,
engine (one method), model (its trained weights with card and calibration), run (one engine on one volume),
calibration (raw heatmap value -> percentile of healthy tissue), cohort, report.
"""

from engines.card import Card
from engines.contract import Engine, Report, Trainable, silent
from engines.errors import BadCohort, BadInput, BadModel, BadVolume, Cancelled, KnownError, OutOfMemory
from engines.result import DEFAULT_PERCENTILE, AnomalyResult, PercentileScale, Provenance
from engines.volume import Volume


def cards() -> dict[str, Card]:
    """Every engine at hand by key."""
    from engines import catalog

    return catalog.cards()


__all__ = [
    "DEFAULT_PERCENTILE",
    "AnomalyResult",
    "BadCohort",
    "BadInput",
    "BadModel",
    "BadVolume",
    "Cancelled",
    "Card",
    "Engine",
    "KnownError",
    "OutOfMemory",
    "PercentileScale",
    "Provenance",
    "Report",
    "Trainable",
    "Volume",
    "cards",
    "silent",
]
