"""What the training worker does: gather stored corrections with their scans, and fine-tune a model from them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brainviewer.storage import corrections
from engines import BadInput, Report, Volume, silent

if TYPE_CHECKING:
    from engines.finetuning import Tuned


# Marks a folder of corrections that no pause cut short.
GATHERED = "gathered"


@dataclass(frozen=True, slots=True)
class Corrected:
    """A stored correction and where its scan lies."""

    at: Path
    scan: Path


def engines_that_learn() -> frozenset[str]:
    """Keys of the engines that learn from corrections; imports no engine."""
    from engines import catalog
    from engines.finetuning import can_finetune

    return frozenset(key for key in catalog.cards() if can_finetune(key))


def finetune(
    model: Path,
    corrected: Sequence[Corrected],
    cohort: Path,
    out: Path,
    seed: int = 0,
    resume: bool = False,
    report: Report = silent,
) -> Tuned:
    """Fine-tune from stored corrections; with `resume` go on where a pause ended."""
    from engines import corrections as exchange
    from engines import finetuning
    from engines.samples import read_cohort

    table = read_cohort(cohort)
    folder = out.with_name(out.name + ".corrections")
    if not (resume and (folder / GATHERED).is_file()):
        shutil.rmtree(folder, ignore_errors=True)
        _gather(corrected, folder, report)
    return finetuning.finetune(model, exchange.read(folder), table, out, seed=seed, resume=resume, report=report)


def _gather(corrected: Sequence[Corrected], folder: Path, report: Report) -> None:
    from brainviewer.jobs.correction_exchange import write_nifti

    for number, one in enumerate(corrected):
        report(number, len(corrected), "gathering corrections")
        loaded = corrections.load(one.at)
        write_nifti(loaded, folder, _scan(loaded.about.series, one.scan))
    (folder / GATHERED).touch()


def _scan(series_uid: str, path: Path) -> Volume:
    from brainviewer import reading

    for study in reading.scan([path]):
        for series in study.series:
            if series.uid == series_uid:
                return reading.load(series)
    raise BadInput(f"The corrected scan is not in {path} any more.", "Leave that correction out.")


def drop(out: Path) -> None:
    """Forget everything a cancelled or discarded fine-tuning left."""
    for name in (out.name, f"{out.name}.training", f"{out.name}.corrections"):
        shutil.rmtree(out.with_name(name), ignore_errors=True)


def promote(out: Path, target: Path) -> Path:
    """Put a new model among the user's models; its record goes with it, what it was learned from does not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    record = out.with_name(f"{out.name}.training") / "finetuning.json"
    if record.is_file():
        shutil.copy2(record, out / record.name)
    out.rename(target)
    drop(out)
    return target
