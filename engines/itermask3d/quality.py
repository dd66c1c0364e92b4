"""python -m engines.itermask3d.quality MODEL COHORT: how well a model tells corrupted scans from clean ones.

Every healthy volume of a split is scored as it is and with each artefact; the brain mask is that of the clean scan.
AUROC of corrupted against clean scans, for each artefact, severity and kind of study score.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from engines.contract import Report, silent
from engines.errors import BadCohort, KnownError
from engines.files import load_volume
from engines.itermask3d.artefacts import ARTEFACTS, corrupted
from engines.itermask3d.engine import IterMask3d
from engines.itermask3d.preparation import Grid, prepare
from engines.itermask3d.scoring import study_score
from engines.itermask3d.settings import SCORES
from engines.itermask3d.signs import signs
from engines.metrics import auroc
from engines.samples import Cohort, read_cohort
from engines.terminal import progress

CLEAN = "clean"
Scores = dict[str, dict[str, list[float]]]
"""artefact and severity ("noise 0.5", or CLEAN) -> kind of score -> one value a subject."""


def measure(
    engine: IterMask3d,
    cohort: Cohort,
    kinds: Sequence[str],
    severities: Sequence[float],
    each: int = 0,
    report: Report = silent,
) -> Scores:
    """The study scores of every normal volume of a cohort, clean and corrupted.

    each: corrupt only so many volumes with each kind and severity, in turn; 0 = all.
    """
    samples = cohort.select(label="normal").samples
    if not samples:
        raise BadCohort(f"{cohort.path} has no normal volume here.", "Choose another split.")
    found: Scores = {}
    chosen = plan(len(samples), kinds, severities, each)
    done, total = 0, sum(map(len, chosen))
    for number, (sample, tasks) in enumerate(zip(samples, chosen, strict=True)):
        grid = prepare(load_volume(sample), engine.settings)
        for kind, severity in tasks:
            name = kind if kind == CLEAN else f"{kind} {severity:g}"
            report(done, total, f"{sample.subject}: {name}")
            seen = engine.search(grid if kind == CLEAN else spoil(grid, kind, severity, seed=number))
            away = engine.healthy_signs.distances(signs(seen))
            for score in SCORES:
                value = study_score(seen, away, score)
                found.setdefault(name, {}).setdefault(score, []).append(value)
            done += 1
    return found


def plan(
    subjects: int, kinds: Sequence[str], severities: Sequence[float], each: int = 0
) -> list[list[tuple[str, float]]]:
    """For each subject what is done to it: kind and severity, first nothing."""
    tasks: list[list[tuple[str, float]]] = [[(CLEAN, 0.0)] for _ in range(subjects)]
    cells = [(kind, severity) for kind in kinds for severity in severities]
    for place, cell in enumerate(cells):
        for turn in range(min(each or subjects, subjects)):
            tasks[(place * (each or subjects) + turn) % subjects].append(cell)
    return tasks


def spoil(grid: Grid, kind: str, severity: float, seed: int) -> Grid:
    """The grid of a scan with an artefact, under the brain mask of the clean scan."""
    return replace(grid, head=corrupted(torch.from_numpy(grid.head).clamp_min(0), kind, severity, seed).numpy())


def aurocs(scores: Scores) -> dict[str, dict[str, float]]:
    """AUROC of corrupted against clean scans: artefact and severity -> kind of score -> value."""
    table = {}
    for name, values in scores.items():
        if name == CLEAN:
            continue
        table[name] = {
            kind: auroc(
                np.repeat([False, True], [len(scores[CLEAN][kind]), len(spoiled)]),
                np.array([*scores[CLEAN][kind], *spoiled]),
            )
            for kind, spoiled in values.items()
        }
    return table


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 known trouble told in one line."""
    parser = argparse.ArgumentParser(prog="python -m engines.itermask3d.quality", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--severity", type=float, action="append", help="may be given several times; 0.5")
    parser.add_argument("--kind", choices=tuple(ARTEFACTS), action="append", help="all of them")
    parser.add_argument("--each", type=int, default=0, help="volumes to corrupt with each kind and severity; all")
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--out", type=Path, help="also write every score as JSON")
    chosen = parser.parse_args(arguments)
    try:
        engine = IterMask3d(chosen.model, chosen.device)
        cohort = read_cohort(chosen.cohort).select(split=chosen.split)
        with progress() as report:
            kinds, severities = chosen.kind or list(ARTEFACTS), chosen.severity or [0.5]
            scores = measure(engine, cohort, kinds, severities, chosen.each, report)
    except KnownError as error:
        print(f"quality: {error}", file=sys.stderr)  # noqa: T201
        return 1
    table = aurocs(scores)
    if chosen.out:
        chosen.out.write_text(json.dumps({"scores": scores, "auroc": table}, indent=1), encoding="utf-8")
    for name, row in table.items():
        print(f"{name:<22}" + "  ".join(f"{kind} {value:.3f}" for kind, value in row.items()))  # noqa: T201
    for kind in SCORES:
        print(f"mean, {kind}: {np.mean([row[kind] for row in table.values()]):.3f}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
