"""What every engine's training ends with: the card of a fresh model, and a calibration that knows nobody yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.card import Card
from engines.healthy import HealthyScores
from engines.model_card import ModelCard, TrainingData
from engines.samples import Cohort, Sample


def fresh_card(
    card: Card,
    cohort: Cohort,
    learned: Sequence[Sample],
    settings: Any,
    *,
    preparation: dict[str, Any],
    limits: str,
    seconds: float,
) -> ModelCard:
    """The card of a model that learned from these samples of the cohort; seconds: of training."""
    modalities = sorted({sample.modality for sample in learned})
    subjects = len({sample.subject for sample in learned})
    return ModelCard(
        engine=card.key,
        name=f"{card.title} {' '.join(modalities)}".strip(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        modality=modalities[0] if len(modalities) == 1 else "",
        settings=asdict(settings),
        preparation=preparation,
        training_data=(TrainingData(cohort=cohort.name, digest=cohort.digest, subjects=subjects),),
        limits=limits,
        seconds=seconds,
    )


def nobody() -> dict[str, NDArray[Any]]:
    """What a package holds as calibration until its healthy volumes have been measured."""
    scores = HealthyScores()
    scores.add("none", np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    return {**scores.build().to_arrays()}
