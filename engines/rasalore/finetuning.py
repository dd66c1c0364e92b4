"""RASALoRE learns from readers' corrections (spec, section g): sharp losses where a reader drew, replay elsewhere.

Deviations, and why: the weights of the last step are kept, not the best on held-out slices, since the same slices
decide whether the model is accepted; slices of a corrected volume that nobody decided are left out, since their
automatic mask may be another engine's; replay targets are those of the training (pseudo_targets.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from engines import device as devices
from engines import model_package
from engines.contract import Report, silent
from engines.corrections import CONFIRMED, CORRECTED, INTERPOLATED, REJECTED, CorrectedVolume
from engines.errors import BadInput
from engines.finetuning import Example, Figures, Learned, Plan
from engines.rasalore import folded, packaged
from engines.rasalore.losses import dice
from engines.rasalore.network import RasaLore
from engines.rasalore.pseudo_targets import TrainingSets, prepare, small, training_sets
from engines.rasalore.settings import Settings
from engines.rasalore.slices import TRUST, Augmentation, Slices, State, gathered
from engines.rasalore.training import CLIP, losses, new_network
from engines.setting_values import restore
from engines.training import TrainingState, averaged_copy, train

STATES = {
    CORRECTED: State.CORRECTED, CONFIRMED: State.CONFIRMED, REJECTED: State.REJECTED, INTERPOLATED: State.INTERPOLATED,
}  # fmt: skip
LEARNING_RATE = 3e-4
EMA = 0.99
LEAST_STEPS, STEPS_A_SLICE, MOST_STEPS = 50, 20, 200
MOST_TIMES = 20  # that a corrected slice is seen, so that none is learned by heart
# Pixels of the published frame of 256: reach of a flipped pixel's extra weight, and of the doubt around an outline.
EDIT_SIGMA, EDIT_WEIGHT, DOUBT = 4.0, 4.0, 5.0
PUBLISHED_SIDE = 256
REPLAY_TRUST, LEAST_AGREEMENT = 0.25, 0.2
SHARES = (0.5, 0.25, 0.25)  # of a batch: corrected, replay, healthy
CHUNK = 16
EXAMPLES = 3


def finetune(plan: Plan, report: Report = silent, sets: TrainingSets | None = None) -> Learned:
    """Start from the model's weights, learn a little, measure before and after.

    sets: of the plan's cohort, where somebody made them already.
    """
    began = time.monotonic()
    loaded = model_package.load(plan.model, "rasalore")
    settings: Settings = replace(restore(Settings, loaded.card.settings), seed=plan.seed)
    device = devices.choose(plan.device).torch
    drawn, apart = corrected_slices(plan, settings)
    sets = sets or training_sets(plan.cohort, settings, report)
    network, slices = packaged.restored(settings, loaded.weights, loaded.card.name)
    network.to(device)
    tuning = Tuning(network, settings, drawn, sets.train, device)
    before = measured(network, settings, apart, sets.held_out, device)
    shown = [_shown(drawn), _shown(apart)]
    masks = [probabilities(network, part, device) > settings.threshold for part in shown]
    tuning.run(plan, report)
    after = measured(tuning.averaged, settings, apart, sets.held_out, device)
    weights = packaged.gathered(tuning.averaged, slices)
    later = [probabilities(tuning.averaged, part, device) > settings.threshold for part in shown]
    examples = [
        *_examples(shown[0], masks[0], later[0], learned=True),
        *_examples(shown[1], masks[1], later[1], learned=False),
    ]
    seconds = time.monotonic() - began
    return Learned(weights, before, after, seconds, tuning.state.history, tuple(examples))


def _shown(slices: Slices) -> Slices:
    """A few slices to look at, spread evenly, those with something in them first."""
    some = torch.nonzero(slices.core.amax((1, 2, 3))).flatten()
    pool = some if len(some) else torch.arange(len(slices))
    return slices[pool[torch.linspace(0, len(pool) - 1, min(EXAMPLES, len(pool))).round().long()]]


def _examples(slices: Slices, before: Tensor, after: Tensor, *, learned: bool) -> list[Example]:
    side = slices.core.shape[2:]
    pictures = nn.functional.interpolate(slices.pictures.float(), side, mode="bilinear").numpy()[:, 0]
    masks = (slices.core.numpy()[:, 0], before.numpy()[:, 0], after.numpy()[:, 0])
    return [Example(learned, *arrays) for arrays in zip(pictures, *masks, strict=True)]


def corrected_slices(plan: Plan, settings: Settings) -> tuple[Slices, Slices]:
    """Slices to learn from and slices kept apart."""
    learn, apart = [], []
    subjects = sorted({one.subject for one in plan.corrected})
    for one, kept in zip(plan.corrected, plan.apart, strict=True):
        found, indices = as_slices(one, settings, subjects.index(one.subject))
        if not len(found):
            continue
        chosen = torch.from_numpy(kept[indices])
        # Interpolated slices beside a held-out one would tell of it.
        alone = torch.from_numpy(~_beside(kept)[indices]) | (found.states != State.INTERPOLATED)
        learn.append(found[~chosen & alone])
        apart.append(found[chosen])
    if not sum(map(len, learn)) or not sum(map(len, apart)):
        raise BadInput("There are too few corrected slices to learn from and to test on.", "Correct more slices.")
    return gathered(learn), gathered(apart)


def _beside(kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(ndimage.binary_dilation(kept, iterations=2))


def as_slices(one: CorrectedVolume, settings: Settings, subject: int) -> tuple[Slices, NDArray[np.intp]]:
    """The decided and interpolated slices of a correction as the network sees them, and their numbers."""
    stack = prepare(one.volume(), settings)
    if stack.axis != one.slice_axis:
        raise BadInput(
            f"The correction {one.name} was made along another axis than RASALoRE looks along.",
            "Leave it out of this training.",
        )
    wanted = [n for n, index in enumerate(stack.indices) if one.states[index] in STATES]
    order = np.array(wanted, np.intp)
    mask, automatic = (stack.from_volume(values)[order] > 0.5 for values in (one.mask, one.automatic))
    states = [STATES[one.states[index]] for index in stack.indices[order]]
    core = torch.from_numpy(mask)[:, None]
    weight = np.stack(
        [pixel_weight(m, a, state) for m, a, state in zip(mask, automatic, states, strict=True)]
        or [np.zeros(stack.pictures.shape[1:], np.float32)]
    )
    found = Slices(
        torch.from_numpy(small(stack.pictures[order]))[:, None].half(),
        torch.from_numpy(small(stack.foreground[order].astype(np.float32)) > 0.5)[:, None],
        core,
        torch.zeros_like(core),
        torch.tensor([int(state) for state in states], dtype=torch.int64),
        torch.tensor([TRUST[state] for state in states], dtype=torch.float32),
        torch.full((len(order),), subject),
        torch.from_numpy(weight[: len(order)])[:, None].half(),
    )
    return found, stack.indices[order]


def pixel_weight(mask: NDArray[np.bool_], automatic: NDArray[np.bool_], state: State) -> NDArray[np.float32]:
    """How much each pixel (h, w) counts: more where the reader flipped it, nothing near an interpolated outline."""
    scale = mask.shape[0] / PUBLISHED_SIDE
    weight = np.ones(mask.shape, np.float32)
    if state is State.CORRECTED:
        near = ndimage.gaussian_filter((mask ^ automatic).astype(np.float32), EDIT_SIGMA * scale)
        if near.max() > 0:
            weight += EDIT_WEIGHT * near / near.max()
    if state is State.INTERPOLATED and mask.any() and not mask.all():
        inside, outside = (ndimage.distance_transform_edt(part) for part in (mask, ~mask))
        weight[np.maximum(inside, outside) <= max(1.0, DOUBT * scale)] = 0
    return weight


class Tuning:
    """A short training from a model's weights: batch norms and learned places stay as they are."""

    def __init__(
        self, network: RasaLore, settings: Settings, drawn: Slices, automatic: Slices, device: torch.device
    ) -> None:
        self.network, self.settings, self.device = network, settings, device
        for frozen in (network.rasa.place, network.decoder.place):
            frozen.requires_grad_(False)
        self.averaged = averaged_copy(network, lambda: new_network(settings).to(device))
        learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.state = TrainingState(
            modules={"network": network},
            optimisers={"network": torch.optim.AdamW(learned, lr=LEARNING_RATE, weight_decay=1e-4)},
            random=torch.Generator(device).manual_seed(settings.seed),
            averaged={"network": self.averaged},
        )
        self.augment = Augmentation(settings.turn_degrees, settings.mirror, settings.grey)
        replay = automatic[(~automatic.empty) & (automatic.trust > 0)]
        healthy = automatic[automatic.empty]
        self.pools = [drawn.to(device), self._trusted(replay).to(device), healthy.to(device)]
        seen = MOST_TIMES * len(drawn) / (settings.batch * SHARES[0])
        self.steps = min(max(LEAST_STEPS, round(min(STEPS_A_SLICE * len(drawn), seen))), MOST_STEPS)

    @torch.no_grad()
    def _trusted(self, replay: Slices) -> Slices:
        """Automatic masks count as far as the model agrees with them, a quarter at most."""
        if not len(replay):
            return replay
        p = probabilities(self.network, replay, self.device)
        agreement = dice((p > 0.5).float(), replay.core.float()).clamp(LEAST_AGREEMENT, 1.0)
        return replace(replay, trust=REPLAY_TRUST * agreement)

    def run(self, plan: Plan, report: Report = silent) -> None:
        """All steps, or on from a checkpoint."""
        every = max(10, self.steps // 20)
        train(
            self.state, self.step, self.steps, plan.folder, checkpoint_every=every, resume=plan.resume, ema=EMA,
            report=report,
        )  # fmt: skip

    def step(self, iteration: int) -> Mapping[str, float]:
        """One step on a fresh batch."""
        batch = self.augment(self._drawn(), self.state.random)
        torch.manual_seed(self.settings.seed + iteration)
        self.network.train()
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        terms = losses(folded.forward(self.network, batch.pictures), batch, self.settings)
        optimiser = self.state.optimisers["network"]
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        optimiser.step()
        return {name: value.item() for name, value in terms.items()}

    def _drawn(self) -> Slices:
        """Half corrected slices, every study as often as any other; a quarter replay, a quarter healthy."""
        random, parts = self.state.random, []
        for number, (pool, share) in enumerate(zip(self.pools, SHARES, strict=True)):
            count = max(1, round(self.settings.batch * share))
            if not len(pool):
                continue
            chance = torch.ones(len(pool), device=self.device)
            if number == 0:
                chance = 1.0 / torch.bincount(pool.subjects)[pool.subjects].float()
            parts.append(pool[torch.multinomial(chance, count, replacement=True, generator=random)])
        return _joined(parts)


def _joined(parts: list[Slices]) -> Slices:
    whole = [
        part if part.weight is not None else replace(part, weight=torch.ones_like(part.core, dtype=torch.float16))
        for part in parts
    ]
    return gathered(whole)


@torch.no_grad()
def probabilities(network: nn.Module, slices: Slices, device: torch.device) -> Tensor:
    """Mask probabilities (n, 1, 2S, 2S) inside the brain, on the slices' device."""
    network.eval()
    found = []
    for index in torch.arange(len(slices), device=slices.states.device).split(CHUNK):
        part = slices[index]
        logits = folded.forward(network, part.pictures.float().to(device)).logits  # type: ignore[arg-type]
        inside = nn.functional.interpolate(part.foreground.float().to(device), logits.shape[2:]) > 0.5
        found.append((logits.float().sigmoid() * inside).to(slices.states.device))
    return torch.cat(found) if found else slices.core.float()


def measured(network: nn.Module, settings: Settings, apart: Slices, automatic: Slices, device: torch.device) -> Figures:
    """Dice on corrected slices kept apart, Dice with the masks of slices nobody corrected, healthy brain marked."""
    replay = automatic[(~automatic.empty) & automatic.core.amax((1, 2, 3)).bool()]
    healthy = automatic[automatic.empty]
    drawn, old = (_dice(probabilities(network, part, device) > settings.threshold, part) for part in (apart, replay))
    marked = probabilities(network, healthy, device) > settings.threshold
    brain = nn.functional.interpolate(healthy.foreground.float(), marked.shape[2:]).sum()
    wrong = float(marked.sum() / brain.clamp(min=1)) if len(healthy) else 0.0
    return Figures(drawn, old, wrong)


def _dice(found: Tensor, slices: Slices) -> float:
    """Mean Dice; a slice that both call empty counts 1."""
    return float(dice(found.float(), slices.core.float()).mean()) if len(slices) else 0.0
