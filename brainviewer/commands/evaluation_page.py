"""The page of `brainviewer evaluate`: curves and tables of one or more models on a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from brainviewer.commands.page import Figure, precision_figure, render, roc_figure, shown
from engines.curves import precision_recall, roc

if TYPE_CHECKING:
    from engines.evaluation import Evaluation, Row

PAGE = "evaluation.html"
TITLES = {"subject": "Subjects: abnormal or not", "slice": "Slices: with a lesion or not", "voxel": "Voxels"}
# A curve of more items looks the same.
MOST_DRAWN = 1_000_000


def page(evaluations: Sequence[Evaluation], command: str) -> str:
    """The evaluations as one HTML file."""
    cohort = evaluations[0].cohort
    models = [
        {
            "engine": one.card.engine,
            "name": f"{one.card.name} {one.card.version}",
            "digest": one.card.digest,
            "volumes": len(one.judged),
            "seconds": shown(float(np.mean([judged.seconds for judged in one.judged]))),
        }
        for one in evaluations
    ]
    subjects = [
        [one.card.name, judged.sample.subject, shown(judged.abnormal),
         *map(shown, (judged.score, judged.score_percentile, judged.share_above))]
        for one in evaluations for judged in one.judged
    ]  # fmt: skip
    failed = [(one.card.name, *reason) for one in evaluations for reason in one.failed]
    levels = [level for name in TITLES if (level := _level(evaluations, name)) is not None]
    return render(
        PAGE, cohort=cohort.name, digest=cohort.digest, command=command, models=models, levels=levels,
        subjects=subjects, failed=failed,
    )  # fmt: skip


def _level(evaluations: Sequence[Evaluation], level: str) -> dict[str, Any] | None:
    rows = [(one, row) for one in evaluations for row in one.rows if row.level == level]
    if not rows:
        return None
    return {
        "title": TITLES[level],
        "figures": _figures(evaluations, level),
        "rows": [_cells(one, row) for one, row in rows],
    }


def _cells(one: Evaluation, row: Row) -> list[str]:
    figure = row.figure
    interval = f"{figure.low:.3f} to {figure.high:.3f}" if np.isfinite(figure.low) else "-"
    counts = str(figure.subjects), str(figure.items), f"{figure.prevalence:.3f}"
    return [one.card.name, figure.name, row.method, f"{figure.value:.3f}", interval, *counts, figure.note]


def _figures(evaluations: Sequence[Evaluation], level: str) -> list[Figure]:
    """ROC and precision over recall of each model; the baselines once, as they are the same for all."""
    drawn: tuple[Figure, Figure] | None = None
    told: set[str] = set()
    for one in evaluations:
        parts = [judged.levels[level] for judged in one.judged if level in judged.levels]
        if not parts:
            continue
        truth = np.concatenate([part.truth for part in parts])
        step = max(1, len(truth) // MOST_DRAWN)
        for method in parts[0].scores:
            own = method == one.card.engine
            title = f"{one.card.name} {one.card.version}" if own else method
            scores = np.concatenate([part.scores[method] for part in parts])
            curves = roc(truth[::step], scores[::step]), precision_recall(truth[::step], scores[::step])
            if title in told or curves[0] is None or curves[1] is None:
                continue
            told.add(title)
            drawn = drawn or (roc_figure(), precision_figure("Precision over recall", curves[1].base))
            own_rows = [row.figure for row in one.rows if (row.level, row.method) == (level, method)]
            values = {figure.name: figure.value for figure in own_rows}
            for figure, curve, name in zip(drawn, curves, ("AUROC", "AP"), strict=True):
                if curve is not None:
                    figure.add(f"{title}: {values.get(name, curve.value):.3f}", curve.x, curve.y)
    return [*drawn] if drawn is not None else []
