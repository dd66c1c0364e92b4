"""A short training from a model's weights, the same for every engine that learns from corrections.

Which slices of a correction are learned and how far they are trusted, how often a batch takes each, checkpoints on the
way, and which weights are kept: those of a checkpoint or of a point on the straight line from the old weights to it
(Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, arXiv 2109.01903).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from scipy import ndimage
from torch import Tensor

from engines.contract import Report, silent
from engines.corrections import CONFIRMED, CORRECTED, INTERPOLATED, REJECTED, CorrectedVolume
from engines.errors import BadInput
from engines.finetuning import Example, Figures, Plan, best_of, judge
from engines.preparation import SliceStack
from engines.training import Step, TrainingState, train

# How far a mask is believed (RASALoRE spec, section g).
TRUST = {CORRECTED: 1.0, CONFIRMED: 0.8, REJECTED: 1.0, INTERPOLATED: 0.4}
LEAST_STEPS, STEPS_A_SLICE, MOST_STEPS = 50, 20, 200
MOST_TIMES = 20  # that a corrected slice is seen, so that none is learned by heart
EMA = 0.99
CHECKPOINTS = 4
WAYS = (1.0, 0.75, 0.5, 0.25)  # of the line from the old weights to the learned ones
EXAMPLES = 3

Weights = Mapping[str, Tensor]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A correction as an engine's slices show it, one row a prepared slice.

    masks: bool (n, S, S). trust: float (n,), 0 where nobody decided. learn, apart: bool (n,), slices to learn from and
    slices kept apart.
    """

    masks: Bools
    trust: NDArray[np.float32]
    learn: Bools
    apart: Bools


def drawn(one: CorrectedVolume, kept: Bools, stack: SliceStack) -> Drawn:
    """kept: the slices of the correction that are kept apart. Raises BadInput where its slices lie across."""
    if stack.axis != one.slice_axis:
        raise BadInput(
            f"The correction {one.name} was made along another axis than this engine looks along.",
            "Leave it out of this training.",
        )
    states = np.array([one.states[index] for index in stack.indices])
    trust = np.array([TRUST.get(state, 0.0) for state in states], np.float32)
    # Interpolated slices beside a held-out one would tell of it.
    beside = np.asarray(ndimage.binary_dilation(kept, iterations=2))[stack.indices]
    apart = kept[stack.indices]
    learn = (trust > 0) & ~apart & ~(beside & (states == INTERPOLATED))
    return Drawn(stack.from_volume(one.mask) > 0.5, trust, learn, apart)


def too_few() -> BadInput:
    """What to say where nothing is left to learn from or to test on."""
    return BadInput("There are too few corrected slices to learn from and to test on.", "Correct more slices.")


def steps_for(slices: int, a_batch: int) -> int:
    """How long to train on so many corrected slices, `a_batch` of them a step."""
    wanted = max(LEAST_STEPS, STEPS_A_SLICE * slices)
    return max(1, min(wanted, MOST_STEPS, MOST_TIMES * slices // a_batch))


def stratified(subjects: Tensor, draws: int) -> Tensor:
    """Chance of each slice (n,): every study as often as any other, but none MOST_TIMES in `draws` on average."""
    limit = max(MOST_TIMES / max(draws, 1), 1 / len(subjects))
    chance = 1.0 / torch.bincount(subjects)[subjects].double()
    full = torch.zeros_like(chance, dtype=torch.bool)
    while True:
        free = 1 - limit * float(full.sum())
        chance = torch.where(full, limit, chance * free / chance[~full].sum().clamp(min=1e-12))
        more = ~full & (chance > limit * (1 + 1e-9))
        if not bool(more.any()):
            return chance.float()
        full |= more


def tuned(
    state: TrainingState, name: str, step: Step, steps: int, plan: Plan, report: Report = silent, ema: float = EMA
) -> dict[int, dict[str, Tensor]]:
    """All steps, or on from a checkpoint in the plan's folder; averaged weights of `name` by step, of each quarter."""
    stops = sorted({max(1, steps * part // CHECKPOINTS) for part in range(1, CHECKPOINTS + 1)})
    files = {stop: plan.folder / f"weights-{stop}.safetensors" for stop in stops}
    for stop, file in files.items():
        train(
            state, step, stop, plan.folder, checkpoint_every=max(10, steps // 20), resume=plan.resume, ema=ema,
            report=lambda done, _, text: report(done, steps, text),
        )  # fmt: skip
        # A resumed training that is past this stop has left its file before.
        if state.iteration == stop:
            _save(state.averaged[name].state_dict(), file)
    return {stop: load_file(file) for stop, file in files.items()}


def _save(weights: Weights, file: Path) -> None:
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}, file)


@torch.no_grad()
def blended(old: Weights, learned: Weights, way: float) -> dict[str, Tensor]:
    """Weights on the line from `old` (0) to `learned` (1), in half precision as a package stores them.

    So what is measured is what is kept.
    """

    def between(name: str) -> Tensor:
        a, b = old[name], learned[name].to(old[name].device)
        return torch.lerp(a, b, way).half().to(a.dtype) if a.is_floating_point() else b

    return {name: between(name) for name in old}


def choose(
    old: Weights,
    checkpoints: Mapping[int, Weights],
    before: Figures,
    measure: Callable[[Weights], Figures],
    report: Report = silent,
    *,
    every_way: bool = True,
) -> tuple[dict[str, Tensor], Figures, dict[str, Any]]:
    """Measure the ways to every checkpoint and keep the best (finetuning.best_of): its weights, figures and facts.

    every_way: all of WAYS; else shorter ones only until one obeys all rules, where measuring takes long.
    """
    tried: list[tuple[int, float]] = []
    found: list[Figures] = []
    for number, step in enumerate(sorted(checkpoints)):
        for way in WAYS:
            report(number, len(checkpoints), "choosing between old and learned weights")
            tried.append((step, way))
            found.append(measure(blended(old, checkpoints[step], way)))
            if not every_way and judge(before, found[-1]).accepted:
                break
    best = best_of(before, found)
    step, way = tried[best]
    table = [{"step": s, "way": w, **asdict(one)} for (s, w), one in zip(tried, found, strict=True)]
    facts = {"kept": {"step": step, "way": way}, "candidates": table}
    return blended(old, checkpoints[step], way), found[best], facts


def examples(
    pictures: NDArray[np.float32], masks: Bools, before: Bools, after: Bools, *, learned: bool
) -> list[Example]:
    """A few slices (n, h, w) to look at, spread evenly, those with something drawn where there are any."""
    some = np.flatnonzero(masks.any((1, 2)))
    pool = some if len(some) else np.arange(len(masks))
    if not len(pool):
        return []
    chosen = pool[np.linspace(0, len(pool) - 1, min(EXAMPLES, len(pool))).round().astype(int)]
    return [Example(learned, pictures[n], masks[n], before[n], after[n]) for n in chosen]


def untouched(pictures: NDArray[Any], decided: set[bytes]) -> Bools:
    """Which slices (n, S, S) nobody decided about; decided: `identity` of those that somebody did."""
    return np.array([identity(picture) not in decided for picture in pictures], bool)


def identity(picture: NDArray[Any]) -> bytes:
    """What a prepared slice is known by, whatever it is called."""
    return picture.tobytes()


def mean(values: Sequence[float]) -> float:
    """The mean, NaN of nothing: a figure that was not measured passes no rule."""
    return float(np.mean(values)) if len(values) else float("nan")
