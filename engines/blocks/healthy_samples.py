"""Which samples of a cohort an engine that learns from healthy volumes alone may learn from and calibrate on."""

from __future__ import annotations

import random

from engines.samples import Cohort, Sample


def healthy_samples(cohort: Cohort, held_out: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Samples to learn from and samples kept apart, all labelled normal.

    Kept apart are the normal val subjects; where there are none, the share held_out of the normal training subjects.
    """
    train = list(cohort.select(split="train", label="normal").samples)
    apart = list(cohort.select(split="val", label="normal").samples)
    if apart or not train:
        return train, apart
    subjects = sorted({sample.subject for sample in train})
    random.Random(seed).shuffle(subjects)
    chosen = set(subjects[: max(1, round(held_out * len(subjects)))] if len(subjects) > 1 else [])
    return [s for s in train if s.subject not in chosen], [s for s in train if s.subject in chosen]
