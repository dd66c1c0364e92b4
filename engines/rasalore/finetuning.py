"""RASALoRE learns from readers' corrections (spec, section g): sharp losses where a reader drew, replay elsewhere.

Deviations, and why: automatic masks of a correction itself are not learned, since they may be another engine's; replay
uses the cohort's masks and losses of the training (pseudo_targets.py, training.py). Beyond the spec: the old model's
own probabilities hold what it knew (replay.py), and the kept weights may lie between the old and the learned ones
(engines/tuning.py). The weights are chosen on the slices that also decide whether they are accepted. Point and code
losses have the weights of the training.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from engines import device as devices
from engines import model_package
from engines.contract import Report, silent
from engines.finetuning import Example, Figures, Learned, Plan
from engines.rasalore import folded, packaged
from engines.rasalore.corrected_slices import corrected_slices
from engines.rasalore.judging import figures, probabilities
from engines.rasalore.network import Output, RasaLore
from engines.rasalore.pseudo_targets import TrainingSets, training_sets
from engines.rasalore.replay import drift, trusted, untouched
from engines.rasalore.settings import Settings
from engines.rasalore.slices import Augmentation, Slices, State, gathered
from engines.rasalore.training import CLIP, MOMENTUM, losses, new_network
from engines.setting_values import restore
from engines.training import TrainingState, averaged_copy
from engines.tuning import EXAMPLES, MOST_TIMES, Weights, choose, stratified, tuned

# The spec's second choice. AdamW (3e-4) moves every weight by about its rate in each step, needed or not: on validation
# subjects it marked more of the healthy brain where SGD marked less (README).
LEARNING_RATE = 1e-3
EMA = 0.99
STEPS_A_SLICE, MOST_STEPS = 20, 100  # minutes on a CPU
SHARES = (0.5, 0.25, 0.25)  # of a batch: corrected, replay, healthy
HOLD = 0.5  # weight of the old model's probabilities beside the other losses
HELD = 0.25  # of a batch more slices on which only these are asked for


def finetune(plan: Plan, report: Report = silent, sets: TrainingSets | None = None) -> Learned:
    """Start from the model's weights, learn a little, keep the best that obeys the rules, measure before and after.

    sets: of the plan's cohort, where somebody made them already.
    """
    began = time.monotonic()
    loaded = model_package.load(plan.model, "rasalore")
    settings: Settings = replace(restore(Settings, loaded.card.settings), seed=plan.seed)
    device = devices.choose(plan.device).torch
    drawn, apart = corrected_slices(plan, settings)
    sets = sets or training_sets(plan.cohort, settings, report)
    decided = gathered([drawn, apart])
    automatic, judged = untouched(sets.train, decided), untouched(sets.held_out, decided)
    network, slices = packaged.restored(settings, loaded.weights, loaded.card.name)
    network.to(device)
    tuning = Tuning(network, settings, drawn, automatic, device)
    before = figures(network, settings, apart, judged, device)
    shown = [_shown(drawn), _shown(apart)]
    masks = [probabilities(network, part, device) > settings.threshold for part in shown]
    checkpoints = tuned(tuning.state, "network", tuning.step, tuning.steps, plan, report, EMA)
    chosen = tuning.averaged

    def measure(weights: Weights) -> Figures:
        chosen.load_state_dict(dict(weights))
        return figures(chosen, settings, apart, judged, device)

    kept, after, facts = choose(tuning.old.state_dict(), checkpoints, before, measure, report, every_way=False)
    chosen.load_state_dict(kept)
    later = [probabilities(chosen, part, device) > settings.threshold for part in shown]
    examples = [
        *_examples(shown[0], masks[0], later[0], learned=True),
        *_examples(shown[1], masks[1], later[1], learned=False),
    ]
    seconds = time.monotonic() - began
    weights = packaged.gathered(chosen, slices)
    return Learned(weights, before, after, seconds, tuning.state.history, tuple(examples), facts)


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


class Tuning:
    """A short training from a model's weights: batch norms and learned places stay as they are.

    old: the model before, which replay is held to. teacher: follows slowly from there (EMA) and says how far a
    pseudo-mask is trusted. averaged: follows faster, what checkpoints hold.
    """

    def __init__(
        self,
        network: RasaLore,
        settings: Settings,
        drawn: Slices,
        automatic: Slices,
        device: torch.device,
        steps: int | None = None,
    ) -> None:
        self.network, self.settings, self.device = network, settings, device
        for frozen in (network.rasa.place, network.decoder.place):
            frozen.requires_grad_(False)
        self.old, self.teacher, self.averaged = (
            averaged_copy(network, lambda: new_network(settings).to(device)).eval() for _ in range(3)
        )
        learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.state = TrainingState(
            modules={"network": network, "teacher": self.teacher},
            optimisers={"network": torch.optim.SGD(learned, lr=LEARNING_RATE, momentum=MOMENTUM)},
            random=torch.Generator(device).manual_seed(settings.seed),
            averaged={"network": self.averaged},
        )
        self.augment = Augmentation(settings.turn_degrees, settings.mirror, settings.grey)
        replay = automatic[(~automatic.empty) & (automatic.trust > 0)]
        self.pools = [part.to(device) for part in (drawn, replay, automatic[automatic.empty])]
        self.counts = [max(1, round(settings.batch * share)) for share in SHARES]
        seen = MOST_TIMES * len(drawn) // self.counts[0]
        self.steps = max(1, min(STEPS_A_SLICE * len(drawn), seen, MOST_STEPS)) if steps is None else steps
        self.chances = [torch.ones(len(pool), device=device) for pool in self.pools]
        self.chances[0] = stratified(self.pools[0].subjects, self.steps * self.counts[0])

    def step(self, iteration: int) -> Mapping[str, float]:
        """One step on a fresh batch."""
        batch = trusted(self.augment(self._drawn(), self.state.random), self.teacher)
        held = self._held()
        if len(held):
            held = self.augment(held, self.state.random)
        torch.manual_seed(self.settings.seed + iteration)
        self.network.train()
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        terms = self._losses(batch, held)
        optimiser = self.state.optimisers["network"]
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        optimiser.step()
        self._follow()
        return {name: value.item() for name, value in terms.items()}

    def _losses(self, batch: Slices, held: Slices) -> dict[str, Tensor]:
        """The training's losses of a batch, and the drift of its replay slices and of `held`."""
        pictures = torch.cat([batch.pictures, held.pictures])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            out = folded.forward(self.network, pictures)
        terms = losses(Output(*(values[: len(batch)] for values in out)), batch, self.settings)
        known = torch.cat([batch.states, held.states]) == State.AUTO
        if bool(known.any()):
            with torch.no_grad():
                before = folded.forward(self.old, pictures[known]).logits.float()  # type: ignore[arg-type]
            terms["drift"] = HOLD * drift(out.logits[known].float(), before).mean()
        return terms

    @torch.no_grad()
    def _follow(self) -> None:
        # The shared loop's average follows faster in its first hundreds of steps, all a fine-tuning has.
        for slow, fast in zip(self.teacher.parameters(), self.network.parameters(), strict=True):
            slow.lerp_(fast, 1 - EMA)

    def _drawn(self) -> Slices:
        """Half corrected slices, every study as often as any other; a quarter replay, a quarter healthy."""
        return _joined([self._some(n, count) for n, count in enumerate(self.counts) if len(self.pools[n])])

    def _held(self) -> Slices:
        """More replay slices, for the old model's probabilities alone."""
        return self._some(1, round(HELD * self.settings.batch) if len(self.pools[1]) else 0)

    def _some(self, pool: int, count: int) -> Slices:
        if not count:
            return self.pools[pool][torch.zeros(0, dtype=torch.int64, device=self.device)]
        chosen = torch.multinomial(self.chances[pool], count, replacement=True, generator=self.state.random)
        return self.pools[pool][chosen]


def _joined(parts: list[Slices]) -> Slices:
    whole = [
        part if part.weight is not None else replace(part, weight=torch.ones_like(part.core, dtype=torch.float16))
        for part in parts
    ]
    return gathered(whole)
