"""Learning from readers' corrections: what is held out, and when a changed model may take the place of the old one.

An engine offers it by a module `finetuning` in its folder with a function `finetune` (see FineTune); the others are
recalibrated with the studies readers called healthy (recalibrating.py). The old model is never touched; a model that is
not better is not written.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import math
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engines import catalog, model_package
from engines.contract import Report, silent
from engines.corrections import DECIDED, CorrectedVolume
from engines.errors import BadInput
from engines.model_card import Metric, ModelCard, TrainingData
from engines.samples import Cohort

# What the old masks may lose (Dice) for the new ones.
MOST_LOST = 0.02
# From so many corrected studies on whole studies are held out, below that every fifth slice.
STUDIES_APART = 3
EVERY = 5
RECORD = "finetuning.json"
# Of the figures on the new model's card.
NOTE = "fine-tuning"
NOTES = {"held_out after": "fine-tuning; these slices decided that the model is kept, so the figure is optimistic"}


@dataclass(frozen=True, slots=True)
class Figures:
    """How good a model is.

    held_out: mean Dice on decided slices kept apart. replay: mean Dice with the training masks of slices nobody
    corrected. false_positives: share of the brain marked in healthy slices.
    """

    held_out: float
    replay: float
    false_positives: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the changed model takes the old one's place, and why."""

    accepted: bool
    reason: str


def judge(before: Figures, after: Figures) -> Verdict:
    """Held-out Dice must rise, replay must not fall by more than MOST_LOST, false positives must not grow."""
    faults = _faults(before, after)
    if faults:
        return Verdict(False, f"The old model stays: {'; '.join(faults)}.")
    return Verdict(
        True, f"Dice on corrected slices kept apart rose from {before.held_out:.3f} to {after.held_out:.3f}."
    )


def best_of(before: Figures, candidates: Sequence[Figures]) -> int:
    """Which of several changed models to keep: of those that break the fewest rules the best on held-out slices.

    Where one obeys all rules, so does the one that is kept. It is chosen by the figure the verdict rests on, so its
    held-out Dice is optimistic; only subjects that nobody corrected tell how good it is.
    """

    def rank(number: int) -> tuple[int, float]:
        overlap = candidates[number].held_out
        return -len(_faults(before, candidates[number])), -1.0 if math.isnan(overlap) else overlap

    return max(range(len(candidates)), key=rank)


def _faults(before: Figures, after: Figures) -> list[str]:
    """The rules that are broken, told with their figures; comparisons are such that NaN breaks them."""
    faults = []
    if not after.held_out > before.held_out:
        faults.append(f"corrected slices kept apart did not get better (Dice {before.held_out:.3f} -> {_d(after)})")
    if not after.replay >= before.replay - MOST_LOST:
        faults.append(f"slices nobody corrected lost more than {MOST_LOST} (Dice {before.replay:.3f} -> {_r(after)})")
    if not after.false_positives <= before.false_positives:
        shares = f"{100 * before.false_positives:.3f} % -> {100 * after.false_positives:.3f} %"
        faults.append(f"healthy slices are marked more than before ({shares} of the brain)")
    return faults


def _d(figures: Figures) -> str:
    return f"{figures.held_out:.3f}"


def _r(figures: Figures) -> str:
    return f"{figures.replay:.3f}"


def held_out(corrected: Sequence[CorrectedVolume], seed: int = 0) -> list[NDArray[np.bool_]]:
    """Which slices of each correction are kept apart: bool (slices,), decided ones only.

    From STUDIES_APART subjects on a fifth of them (one at least) is kept apart as a whole; with fewer, every fifth
    decided slice. Raises BadInput where too little is decided to keep anything apart.
    """
    subjects = sorted({one.subject for one in corrected if one.decided.any()})
    if len(subjects) >= STUDIES_APART:
        random.Random(seed).shuffle(subjects)
        apart = set(subjects[: max(1, len(subjects) // EVERY)])
        return [one.decided if one.subject in apart else np.zeros(len(one.states), bool) for one in corrected]
    found, count = [], 0
    for one in corrected:
        kept = np.zeros(len(one.states), bool)
        for index in np.flatnonzero(one.decided):
            count += 1
            kept[index] = count % EVERY == 0
        found.append(kept)
    if not any(kept.any() for kept in found):
        raise BadInput(
            f"Only {count} slices are corrected, confirmed or called healthy; {EVERY} are needed to keep one apart.",
            "Decide about more slices first.",
        )
    return found


@dataclass(frozen=True, slots=True)
class Plan:
    """What a fine-tuning works with, the same for every engine; with the same plan a CPU gives the same model.

    apart: the slices of each correction that are kept apart. device: "auto", "cpu" or "cuda".
    """

    model: Path
    corrected: Sequence[CorrectedVolume]
    apart: Sequence[NDArray[np.bool_]]
    cohort: Cohort
    folder: Path
    device: str = "auto"
    seed: int = 0
    resume: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A decided slice as the engine sees it. learned: it was trained on, else kept apart.

    picture: float32 (h, w), any range. drawn, before, after: bool (h, w), by the reader and the two models.
    """

    learned: bool
    picture: NDArray[np.float32]
    drawn: NDArray[np.bool_]
    before: NDArray[np.bool_]
    after: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What an engine made of a plan. weights: by name. history: a row of named losses each few steps.

    facts: what else the record should tell, such as the candidates the weights were chosen from.
    """

    weights: dict[str, Any]
    before: Figures
    after: Figures
    seconds: float
    history: list[dict[str, float]] = field(default_factory=list)
    examples: tuple[Example, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


class FineTune(Protocol):
    """An engine's `finetune`: learn, and measure the model before and after on what was kept apart."""

    def __call__(self, plan: Plan, report: Report = silent) -> Learned:
        """Raises Cancelled when the user stopped it; the old model is only read."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """The end of a fine-tuning. model: the new package, None where the old one stays. record: facts to repeat it."""

    model: Path | None
    verdict: Verdict
    before: Figures
    after: Figures
    history: list[dict[str, float]]
    record: dict[str, Any]
    examples: tuple[Example, ...] = ()


def can_finetune(engine: str) -> bool:
    """Whether an engine learns from corrections."""
    return importlib.util.find_spec(_module(engine)) is not None


def _module(engine: str) -> str:
    cards = catalog.cards()
    if engine not in cards:
        raise BadInput(f"There is no engine '{engine}'.", f"There are {', '.join(cards)}.")
    return cards[engine].load.partition(":")[0].rpartition(".")[0] + ".finetuning"


def finetune(
    model: Path,
    corrected: Sequence[CorrectedVolume],
    cohort: Cohort,
    out: Path,
    *,
    device: str = "auto",
    seed: int = 0,
    resume: bool = False,
    report: Report = silent,
) -> Tuned:
    """Learn from corrections; writes a new model to `out` if it is better, else nothing there.

    cohort: slices nobody corrected and healthy ones, as in training: without them nobody could tell what is lost.
    The record and checkpoints lie in `out` + ".training".
    """
    parent = model_package.read_card(model)
    if out.resolve() == model.resolve() or out.exists():
        raise BadInput(f"There is something at {out} already.", "Choose another folder with --out.")
    if not can_finetune(parent.engine):
        return _recalibrated(parent, model, corrected, cohort, out, device, report)
    learn: FineTune = importlib.import_module(_module(parent.engine)).finetune
    folder = out.with_name(out.name + ".training")
    folder.mkdir(parents=True, exist_ok=True)
    plan = Plan(model, corrected, held_out(corrected, seed), cohort, folder, device, seed, resume)
    learned = learn(plan, report)
    verdict = judge(learned.before, learned.after)
    record = _record(parent, plan, learned, verdict)
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if verdict.accepted:
        card = _card(parent, plan, learned)
        model_package.write(out, card, learned.weights, model_package.read_calibration(model, parent), half=True)
        calibrate: Callable[..., None] = catalog.engine_class(parent.engine).calibrate
        calibrate(out, cohort, device=device, report=report)
    new = out if verdict.accepted else None
    return Tuned(new, verdict, learned.before, learned.after, learned.history, record, learned.examples)


def _recalibrated(
    parent: ModelCard,
    model: Path,
    corrected: Sequence[CorrectedVolume],
    cohort: Cohort,
    out: Path,
    device: str,
    report: Report,
) -> Tuned:
    """Engines that learn from healthy scans only get new percentiles, where these mark less and lose nothing."""
    from engines.recalibrating import recalibrate

    try:
        first, last, seconds = recalibrate(model, corrected, cohort, out, device=device, report=report)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    before, after = (Figures(overlap, overlap, marked) for overlap, marked in (first, last))
    better = after.false_positives <= before.false_positives and after.held_out >= before.held_out - MOST_LOST
    shares = f"{100 * before.false_positives:.3f} % -> {100 * after.false_positives:.3f} % of a healthy study is marked"
    told = f"{shares}, Dice on corrected slices {before.held_out:.3f} -> {after.held_out:.3f}"
    verdict = Verdict(better, f"New percentiles: {told}." if better else f"The old model stays: {told}.")
    if better:
        model_package.replace_card(
            out, model_package.read_card(out).model_copy(update={"version": _next_version(parent.version)})
        )
    else:
        shutil.rmtree(out, ignore_errors=True)
    plan = Plan(model, corrected, (), cohort, out, device)
    record = _record(parent, plan, Learned({}, before, after, seconds), verdict)
    return Tuned(out if better else None, verdict, before, after, [], record)


def digest_of(corrected: Sequence[CorrectedVolume]) -> str:
    """Identity of a set of corrections: masks, states and readers."""
    found = hashlib.sha256()
    for one in sorted(corrected, key=lambda each: each.name):
        found.update(json.dumps([one.name, one.series, one.reader, one.states]).encode())
        found.update(np.packbits(one.mask).tobytes() + np.packbits(one.automatic).tobytes())
    return found.hexdigest()


def _record(parent: ModelCard, plan: Plan, learned: Learned, verdict: Verdict) -> dict[str, Any]:
    counts = {state: sum(one.states.count(state) for one in plan.corrected) for state in DECIDED}
    return {
        "parent": parent.digest,
        "corrections": digest_of(plan.corrected),
        "names": sorted(one.name for one in plan.corrected),
        "slices": counts,
        "held_out_slices": int(sum(kept.sum() for kept in plan.apart)),
        "cohort": plan.cohort.name,
        "cohort_sha256": plan.cohort.digest,
        "seed": plan.seed,
        "before": asdict(learned.before),
        "after": asdict(learned.after),
        "accepted": verdict.accepted,
        "reason": verdict.reason,
        "seconds": learned.seconds,
        "history": learned.history,
        **({"facts": learned.facts} if learned.facts else {}),
    }


def _card(parent: ModelCard, plan: Plan, learned: Learned) -> ModelCard:
    decided = sum(int(one.decided.sum()) for one in plan.corrected)
    subjects = len({one.subject for one in plan.corrected})
    data = TrainingData(
        cohort="corrections",
        digest=digest_of(plan.corrected),
        subjects=subjects,
        note=f"{decided} slices decided by {len({one.reader for one in plan.corrected})} readers; fine-tuned.",
    )
    figures = {
        f"{name} {when}": value
        for when, measured in (("before", learned.before), ("after", learned.after))
        for name, value in asdict(measured).items()
    }
    metrics = [
        Metric(name=name, value=value, subjects=0, data="corrections", note=NOTES.get(name, NOTE))
        for name, value in figures.items()
    ]
    return parent.model_copy(
        update={
            "version": _next_version(parent.version),
            "parent": parent.digest,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "training_data": (*parent.training_data, data),
            # The parent's figures are not this model's.
            "metrics": tuple(metrics),
            "command": "",
            "seconds": parent.seconds + learned.seconds,
        }
    )


def _next_version(version: str) -> str:
    head, _, tail = version.rpartition(".")
    if not tail.isdigit():
        return f"{version}.1"
    return f"{head}.{int(tail) + 1}" if head else str(int(tail) + 1)
