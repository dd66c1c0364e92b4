"""How much corrections help: readers are simulated from drawn masks, the model before and after meets other subjects.

    python -m engines.rasalore.simulated_readers MODEL COHORT.csv --out DIR [--readers 1 3 5 10]

What a simulated reader does is told in engines/simulated_readers.py. Corrected subjects come from the train split,
figures from the test split, whose drawn masks nobody learns from; each model is told whether it would be accepted. A
model that is refused is measured all the same: it is the candidate that broke the fewest rules.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engines import corrections, model_package
from engines.contract import Report, silent
from engines.corrections import CorrectedVolume
from engines.files import load_mask, load_volume
from engines.finetuning import Plan, held_out, judge
from engines.metrics import dice
from engines.rasalore.engine import RasaLoreEngine
from engines.rasalore.finetuning import finetune
from engines.rasalore.inference import shown_mask
from engines.rasalore.pseudo_targets import training_sets
from engines.rasalore.settings import Settings
from engines.samples import Cohort, Sample, read_cohort
from engines.setting_values import restore
from engines.simulated_readers import Bools, corrected
from engines.terminal import progress

COLUMNS = (
    "subjects", "slices", "accepted", "step", "way", "held_out_before", "held_out_after", "replay_before",
    "replay_after", "healthy_before", "healthy_after", "test_dice_before", "test_dice_after", "test_healthy_before",
    "test_healthy_after", "shown_dice_before", "shown_dice_after", "shown_healthy_before", "shown_healthy_after",
    "seconds",
)  # fmt: skip
Row = dict[str, float]


def read(engine: RasaLoreEngine, sample: Sample) -> CorrectedVolume:
    """What a careful reader makes of the network's mask of a volume: it is the network that learns."""
    return corrected(sample, masks(engine, sample)[0], 2, "rasalore", engine.model_card.digest)


def masks(engine: RasaLoreEngine, sample: Sample) -> tuple[Bools, Bools]:
    """The network's mask at its fixed threshold and the one that is shown, where slices held for healthy fade."""
    seen = engine.look(load_volume(sample))
    network, shown = (
        seen.stack.to_volume(shown_mask(maps, seen.stack.foreground, engine.settings).astype(np.float32)) > 0.5
        for maps in (seen.predicted.probability, seen.maps)
    )
    return network, shown


class Tested(NamedTuple):
    """Mean Dice of whole volumes and share of voxels marked in slices without a lesion: of the network, as shown."""

    dice: float
    healthy: float
    shown_dice: float
    shown_healthy: float


def tested(engine: RasaLoreEngine, samples: list[Sample]) -> Tested:
    """How good a model is on volumes with drawn lesions."""
    overlaps, wrong, healthy = [], np.zeros(2), 0
    for sample in samples:
        truth, both = load_mask(sample, load_volume(sample)), masks(engine, sample)
        assert truth is not None
        overlaps.append([dice(truth, found) for found in both])
        empty = ~truth.any((0, 1))
        wrong += [found[:, :, empty].sum() for found in both]
        healthy += int(truth[:, :, empty].size)
    (network, shown), (marked, faded) = np.mean(overlaps, 0), wrong / max(healthy, 1)
    return Tested(float(network), float(marked), float(shown), float(faded))


def curve(model: Path, cohort: Cohort, counts: list[int], out: Path, report: Report = silent) -> list[Row]:
    """One row for each number of corrected subjects."""
    engine = RasaLoreEngine(model, "cpu")
    settings: Settings = restore(Settings, engine.model_card.settings)
    sets = training_sets(cohort, replace(settings, pseudo_masks=""), report)
    train = [one for one in cohort.select(split="train").samples if one.mask is not None]
    test = [one for one in cohort.select(split="test").samples if one.mask is not None]
    random.Random(settings.seed).shuffle(train)
    seen = [read(engine, sample) for sample in train[: max(counts)]]
    for one in seen:
        corrections.write(out / "corrections", one)
    before = tested(engine, test)
    rows: list[Row] = []
    for count in counts:
        chosen = seen[:count]
        folder = out / f"{count}.training"
        plan = Plan(model, chosen, held_out(chosen), cohort, folder, "cpu", settings.seed)
        learned = finetune(plan, report, sets)
        package = out / f"model-{count}"
        calibration = model_package.read_calibration(model)
        model_package.write(package, engine.model_card, learned.weights, calibration, half=True)
        after = tested(RasaLoreEngine(package, "cpu"), test)
        kept = learned.facts["kept"]
        values = (
            count, sum(int(one.decided.sum()) for one in chosen), judge(learned.before, learned.after).accepted,
            kept["step"], kept["way"],
            learned.before.held_out, learned.after.held_out, learned.before.replay, learned.after.replay,
            learned.before.false_positives, learned.after.false_positives, before.dice, after.dice, before.healthy,
            after.healthy, before.shown_dice, after.shown_dice, before.shown_healthy, after.shown_healthy,
            learned.seconds,
        )  # fmt: skip
        rows.append(dict(zip(COLUMNS, values, strict=True)))
        _write(out / "curve.csv", rows)
    return rows


def _write(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)


def main() -> None:
    """Print the curve as it grows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("model", type=Path)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--readers", type=int, nargs="+", default=[1, 3, 5, 10])
    options = parser.parse_args()
    with progress() as report:
        rows = curve(options.model, read_cohort(options.cohort), options.readers, options.out, report)
    for row in rows:
        line = "  ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
        )
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
