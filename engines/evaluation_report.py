"""An evaluation on disk: figures.csv, subjects.csv, slices.csv, evaluation.json and a page to read, README.md."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engines.atomic import whole_folder
from engines.evaluation import Evaluation, Judged, Row

SCHEMA_VERSION = 1
MARKER = "evaluation.json"


def write(folder: Path, evaluations: Sequence[Evaluation], command: str) -> None:
    """Store the evaluations of one or more models on one cohort, whole or not at all."""
    with whole_folder(folder, marker=MARKER) as fresh:
        _table(fresh / "figures.csv", (_figure(one, row) for one in evaluations for row in one.rows))
        _table(fresh / "subjects.csv", (_subject(one, judged) for one in evaluations for judged in one.judged))
        _table(
            fresh / "slices.csv", (row for one in evaluations for judged in one.judged for row in _slices(one, judged))
        )
        (fresh / "README.md").write_text(page(evaluations, command), encoding="utf-8")
        text = json.dumps(facts(evaluations, command), indent=1, allow_nan=False)
        (fresh / MARKER).write_text(text + "\n", encoding="utf-8")


def facts(evaluations: Sequence[Evaluation], command: str) -> dict[str, Any]:
    """Everything as plain values; None for what is not known."""
    return {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "cohort": {"name": evaluations[0].cohort.name, "digest": evaluations[0].cohort.digest},
        "models": [
            {
                "engine": one.card.engine,
                "model": one.card.name,
                "digest": one.card.digest,
                "figures": [_figure(one, row) for row in one.rows],
                "failed": [{"subject": subject, "reason": reason} for subject, reason in one.failed],
                "seconds_per_volume": _known(sum(judged.seconds for judged in one.judged) / len(one.judged)),
            }
            for one in evaluations
        ],
        "notice": "Research use only; not for diagnosis.",
    }


def page(evaluations: Sequence[Evaluation], command: str) -> str:
    """The figures as a table for people; intervals are 95 %, by bootstrap over subjects."""
    cohort = evaluations[0].cohort
    lines = [f"# Evaluation on {cohort.name}", "", f"    {command}", "", f"Cohort digest `{cohort.digest}`.", ""]
    lines += ["| model | level | figure | method | value | 95 % interval | subjects | items | prevalence | note |"]
    lines += ["|" + "---|" * 10]
    lines += [_line(one, row) for one in evaluations for row in one.rows]
    for one in evaluations:
        for subject, reason in one.failed:
            lines += ["", f"Left out of {one.card.name}: {subject}. {reason}"]
    lines += [
        "",
        "*Oracle*: the threshold was chosen with the truth; no reader has that. Voxels: of the scored region.",
    ]
    return "\n".join([*lines, "Intervals: 95 %, bootstrap over subjects. Research use only.", ""])


def _line(one: Evaluation, row: Row) -> str:
    figure = row.figure
    interval = f"{figure.low:.3f} to {figure.high:.3f}" if math.isfinite(figure.low) else "-"
    return (
        f"| {one.card.name} | {row.level} | {figure.name} | {row.method} | {figure.value:.3f} | {interval} "
        f"| {figure.subjects} | {figure.items} | {figure.prevalence:.3f} | {figure.note} |"
    )


def _figure(one: Evaluation, row: Row) -> dict[str, Any]:
    plain = {name: _known(value) for name, value in asdict(row.figure).items()}
    return {"engine": one.card.engine, "model": one.card.name, "level": row.level, "method": row.method, **plain}


def _subject(one: Evaluation, judged: Judged) -> dict[str, Any]:
    return {
        "model": one.card.name,
        "subject": judged.sample.subject,
        "volume": judged.sample.volume.name,
        "abnormal": judged.abnormal,
        "score": _known(judged.score),
        "score_percentile": _known(judged.score_percentile),
        "share_above_threshold": judged.share_above,
        "seconds": judged.seconds,
    }


def _slices(one: Evaluation, judged: Judged) -> Iterable[dict[str, Any]]:
    for index, (score, percentile) in enumerate(zip(*judged.slices, strict=True)):
        yield {
            "model": one.card.name,
            "subject": judged.sample.subject,
            "volume": judged.sample.volume.name,
            "slice": index,
            "score": _known(float(score)),
            "percentile": _known(float(percentile)),
        }


def _table(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    listed = list(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        if listed:
            table = csv.DictWriter(file, list(listed[0]))
            table.writeheader()
            table.writerows(listed)


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
