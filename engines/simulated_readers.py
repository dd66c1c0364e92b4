"""How much corrections help an engine: readers are simulated from drawn masks, other subjects show what is learned.

    python -m engines.simulated_readers MODEL COHORT.csv --out DIR [--subjects 3]

A simulated reader looks at every slice of a training subject, redraws a mask that overlaps the drawn truth by less than
CONTENT, confirms a better one, and empties a slice without a lesion. Corrected subjects come from the train split,
figures from the test split, whose drawn masks nobody learns from. The changed model is measured there even where the
rules refuse it; DIR/corrections is what `brainviewer finetune` takes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines import catalog, corrections, model_package
from engines.contract import Engine
from engines.corrections import AUTO, CONFIRMED, CORRECTED, REJECTED, CorrectedVolume
from engines.files import load_mask, load_volume
from engines.finetuning import FineTune, Plan, held_out, judge
from engines.metrics import dice
from engines.result import DEFAULT_PERCENTILE, AnomalyResult
from engines.samples import Sample, read_cohort
from engines.terminal import progress

CONTENT = 0.9
PSEUDO_MASK = "pseudo mask"  # an engine's own mask, where it makes one

Bools = NDArray[np.bool_]


def shown(result: AnomalyResult) -> Bools:
    """The mask a reader is offered."""
    own = result.extras.get(PSEUDO_MASK)
    return result.mask(DEFAULT_PERCENTILE) if own is None else np.asarray(own) > 0.5


def read(engine: Engine, sample: Sample) -> CorrectedVolume:
    """What a careful reader makes of the model's mask of a volume with a drawn lesion."""
    result = engine.detect(load_volume(sample))
    return corrected(sample, shown(result), result.slice_axis, engine.card.key, result.provenance.model_digest)


def corrected(sample: Sample, automatic: Bools, axis: int, engine: str, model_digest: str) -> CorrectedVolume:
    """What a careful reader makes of an automatic mask of a volume with a drawn lesion."""
    volume = load_volume(sample)
    truth = load_mask(sample, volume)
    assert truth is not None
    states = []
    for index in range(volume.shape[axis]):
        drawn, found = (np.asarray(mask.take(index, axis)) for mask in (truth, automatic))
        if not drawn.any():
            states.append(REJECTED if found.any() else AUTO)
        else:
            states.append(CONFIRMED if dice(drawn, found) >= CONTENT else CORRECTED)
    shape = [1, 1, 1]
    shape[axis] = len(states)
    mask = np.where((np.array(states) == CONFIRMED).reshape(shape), automatic, truth)
    return CorrectedVolume(
        sample.subject, volume.uid, sample.subject, "simulated", mask, automatic, tuple(states), axis, volume.affine,
        sample.volume, sample.modality, engine, model_digest,
    )  # fmt: skip


def tested(engine: Engine, samples: Sequence[Sample]) -> dict[str, float]:
    """Mean Dice of whole volumes, and the share of the scored voxels marked in slices without a lesion."""
    overlaps, wrong, healthy = [], 0, 0
    for sample in samples:
        volume = load_volume(sample)
        truth, result = load_mask(sample, volume), engine.detect(volume)
        assert truth is not None
        found = shown(result)
        overlaps.append(dice(truth, found))
        others = tuple(n for n in range(3) if n != result.slice_axis)
        calm = ~truth.any(axis=others, keepdims=True) & result.region
        wrong += int(found[calm].sum())
        healthy += int(calm.sum())
    return {"test dice": float(np.mean(overlaps)), "test healthy marked": wrong / max(healthy, 1)}


def main() -> None:
    """Print one round as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("model", type=Path)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--subjects", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    card, cohort = model_package.read_card(chosen.model), read_cohort(chosen.cohort)
    kind = catalog.engine_class(card.engine)
    learn: FineTune = importlib.import_module(kind.__module__.rpartition(".")[0] + ".finetuning").finetune
    calibrate: Callable[..., None] = kind.calibrate
    train, test = ([s for s in cohort.select(split=split).samples if s.mask is not None] for split in ("train", "test"))
    random.Random(chosen.seed).shuffle(train)
    engine = catalog.create(card.engine, chosen.model, "cpu")
    seen = [read(engine, sample) for sample in train[: chosen.subjects]]
    for one in seen:
        corrections.write(chosen.out / "corrections", one)
    before = tested(engine, test)
    with progress() as report:
        plan = Plan(
            chosen.model,
            seen,
            held_out(seen, chosen.seed),
            cohort,
            chosen.out / "training",
            "cpu",
            chosen.seed,
        )
        learned = learn(plan, report)
        package = chosen.out / "model"
        model_package.write(package, card, learned.weights, model_package.read_calibration(chosen.model), half=True)
        calibrate(package, cohort, device="cpu", report=report)
    after = tested(catalog.create(card.engine, package, "cpu"), test)
    verdict = judge(learned.before, learned.after)
    facts = {
        "subjects": len(seen),
        "slices": {state: sum(one.states.count(state) for one in seen) for state in corrections.DECIDED},
        "accepted": verdict.accepted,
        "reason": verdict.reason,
        "before": asdict(learned.before) | before,
        "after": asdict(learned.after) | after,
        "seconds": round(learned.seconds),
        "kept": learned.facts.get("kept"),
        "losses": learned.history[-1:],
    }
    (chosen.out / "round.json").write_text(json.dumps({**facts, "facts": learned.facts}, indent=1) + "\n")
    sys.stdout.write(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
