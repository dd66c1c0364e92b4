"""SAGAN learns from readers' corrections: outside their masks nothing may change, inside something has to.

Known normal slices of the training are replayed with identity and restoration losses. The critic is left out: a package
does not hold it, a new one would have to be trained first, and inside a reader's mask nobody needs to ask it whether
something is unusual.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engines import device as devices
from engines import model_package
from engines.contract import Report, silent
from engines.finetuning import Example, Figures, Learned, Plan
from engines.metrics import dice
from engines.preparation import SliceStack
from engines.result import DEFAULT_PERCENTILE
from engines.sagan import CARD
from engines.sagan.corrected_slices import Bools, Judged, Material, material
from engines.sagan.engine import stored_generator, stored_settings
from engines.sagan.inference import HealthyResidual, Maps, restore_stack, smoothed_residual
from engines.sagan.losses import change_loss, keep_loss
from engines.sagan.network import Generator
from engines.sagan.patches import restore_grid
from engines.sagan.pictures import augmented
from engines.sagan.pseudo_anomaly import pseudo_anomalies
from engines.sagan.settings import Settings
from engines.sagan.training import new_generator
from engines.training import TrainingState, averaged_copy
from engines.tuning import Weights, choose, examples, mean, steps_for, stratified, tuned

LEARNING_RATE = 2e-4
MARGIN = 0.6  # |A - G(A)|, grey levels -1..1, that is asked for inside a mask
BATCH = 16
CORRECTED_SHARE = 0.5  # of a batch; the rest is known normal


def finetune(plan: Plan, report: Report = silent) -> Learned:
    """Start from the model's weights, learn a little, keep the best that obeys the rules, measure before and after."""
    began = time.monotonic()
    loaded = model_package.load(plan.model, CARD.key)
    settings = stored_settings(loaded.card)
    device = devices.choose(plan.device)
    found = material(plan, settings, report)
    generator = stored_generator(settings, loaded).to(device.torch)
    old, tried = (averaged_copy(generator, lambda: new_generator(settings).to(device.torch)).eval() for _ in range(2))
    assert isinstance(old, Generator)
    assert isinstance(tried, Generator)
    judge = Judge(settings, found, device)
    before = judge.figures(old)
    tuning = Tuning(generator, settings, found, plan.seed, device.torch)
    checkpoints = tuned(tuning.state, "generator", tuning.step, tuning.steps, plan, report)

    def measure(weights: Weights) -> Figures:
        tried.load_state_dict(dict(weights))
        return judge.figures(tried)

    kept, after, facts = choose(old.state_dict(), checkpoints, before, measure, report)
    tried.load_state_dict(kept)
    shown = tuple(judge.examples(old, tried))
    return Learned(kept, before, after, time.monotonic() - began, tuning.state.history, shown, facts)


@dataclass(frozen=True, slots=True, eq=False)
class Healthy:
    """What healthy slices look like to a generator: their residual, and the heat above which a hundredth lies."""

    residual: HealthyResidual
    threshold: float

    @classmethod
    def measured(cls, parts: Sequence[tuple[Maps, Bools]]) -> Healthy:
        """parts: smoothed residuals and foregrounds (n, S, S)."""
        residual = HealthyResidual.measured(parts)
        heat = np.concatenate([residual.heat(*part)[part[1]] for part in parts])
        return cls(residual, float(np.percentile(heat, DEFAULT_PERCENTILE)))

    def masks(self, change: Maps, inside: Bools) -> Bools:
        """What a reader is shown of smoothed residuals (n, S, S)."""
        return np.asarray(self.residual.heat(change, inside) > self.threshold)


class Judge:
    """Measures generators: each has healthy residuals of its own, so its scale is made anew, as calibration does."""

    def __init__(self, settings: Settings, found: Material, device: devices.Device) -> None:
        self.settings, self.found, self.device = settings, found, device

    def figures(self, generator: Generator) -> Figures:
        """How good its masks are.

        Dice on corrected slices kept apart that show a lesion, Dice on planted blobs, share of the brain marked in
        healthy slices: of one half of the held-out subjects at the scale of the other, and in those called healthy.
        """
        healthy = [self._part(generator, stack) for _, stack in self.found.healthy]
        known = Healthy.measured(healthy)
        marked, brain = _marked(healthy)
        apart = []
        for one in self.found.apart:
            part = self._part(generator, one.stack)
            masks = known.masks(*part)
            apart += _overlaps(masks, one)
            marked += int(masks[one.calm].sum())
            brain += int(part[1][one.calm].sum())
        planted = [
            each
            for one in self.found.planted
            for each in _overlaps(known.masks(*self._part(generator, one.stack)), one)
        ]
        return Figures(mean(apart), mean(planted), marked / max(brain, 1))

    def examples(self, old: Generator, new: Generator) -> list[Example]:
        """Slices that were learned and slices kept apart, of the first volume that has some."""
        both = [next(each for each in part if each.chosen.any()) for part in (self.found.taught, self.found.apart)]
        masks: list[list[Bools]] = [[], []]
        for generator in (old, new):
            known = Healthy.measured([self._part(generator, stack) for _, stack in self.found.healthy])
            for one, found in zip(both, masks, strict=True):
                found.append(known.masks(*self._part(generator, one.stack))[one.chosen])
        return [
            example
            for one, found, learned in zip(both, masks, (True, False), strict=True)
            for example in examples(one.stack.pictures[one.chosen], one.wanted[one.chosen], *found, learned=learned)
        ]

    def _part(self, generator: Generator, stack: SliceStack) -> tuple[Maps, Bools]:
        restored = restore_stack(generator, self.settings, stack, self.device, silent)
        return smoothed_residual(stack, restored, self.settings), stack.foreground


def _overlaps(masks: Bools, one: Judged) -> list[float]:
    return [dice(wanted, mask) for wanted, mask in zip(one.wanted[one.chosen], masks[one.chosen], strict=True)]


def _marked(healthy: Sequence[tuple[Maps, Bools]]) -> tuple[int, int]:
    """Pixels marked and pixels of brain, each half at the scale of the other; a single volume judges itself."""
    marked = brain = 0
    for own in [0, 1] if len(healthy) > 1 else [0]:
        known = Healthy.measured(healthy[1 - own :: 2] if len(healthy) > 1 else healthy)
        for change, inside in healthy[own::2]:
            marked += int(known.masks(change, inside).sum())
            brain += int(inside.sum())
    return marked, brain


class Tuning:
    """A short training of the generator alone."""

    def __init__(
        self, generator: Generator, settings: Settings, found: Material, seed: int, device: torch.device
    ) -> None:
        self.generator, self.settings, self.device = generator.train().requires_grad_(True), settings, device
        self.learned, self.normal = found.learned, found.normal
        self.random = torch.Generator(device).manual_seed(seed)
        self.state = TrainingState(
            modules={"generator": generator},
            optimisers={"generator": torch.optim.Adam(generator.parameters(), LEARNING_RATE, settings.betas)},
            random=self.random,
            averaged={"generator": averaged_copy(generator, lambda: new_generator(settings).to(device))},
        )
        self.count = round(CORRECTED_SHARE * BATCH)
        self.steps = steps_for(len(self.learned), self.count)
        self.chances = stratified(self.learned.subjects, self.steps * self.count).to(device)

    def step(self, iteration: int) -> Mapping[str, float]:
        """One step on as many corrected as known normal slices, these as they are and with something planted."""
        corrected, weight, lesion, heights = self._corrected()
        normal, foreground, normal_heights = self._normal()
        pseudo = pseudo_anomalies(normal, foreground, self.random, self.settings)
        restored, kept, mended = self._restored(
            torch.cat([corrected, normal, pseudo]), torch.cat([heights, normal_heights, normal_heights])
        ).split([len(corrected), len(normal), len(normal)])
        brain = foreground.sum().clamp_min(1.0)
        settings = self.settings
        terms = {
            "keep": settings.identity_weight * keep_loss(corrected, restored, lesion, weight),
            "change": settings.identity_weight * change_loss(corrected, restored, lesion, MARGIN, weight),
            "identity": settings.identity_weight * (foreground * (normal - kept).abs()).sum() / brain,
            "restoration": settings.restoration_weight * (foreground * (normal - mended).square()).sum() / brain,
        }
        optimiser = self.state.optimisers["generator"]
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
        return {name: term.item() for name, term in terms.items()}

    def _restored(self, pictures: Tensor, heights: Tensor) -> Tensor:
        def restore(patches: Tensor, code: Tensor) -> Tensor:
            added, _ = self.generator(patches, code)
            return torch.tanh(added.to(patches.dtype) + patches)

        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            return restore_grid(
                restore, pictures, self.settings.n_patch, heights if self.settings.slice_height else None
            )

    def _corrected(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pictures, how much each pixel counts (foreground times trust), masks and heights."""
        index = torch.multinomial(self.chances, self.count, True, generator=self.random).cpu()
        pictures, foreground, heights = (part.to(self.device) for part in self.learned.shown.batch(index))
        lesion, trust = self.learned.lesion[index].to(self.device), self.learned.trust[index].to(self.device)
        if self.settings.augment:
            both = torch.cat([foreground, lesion], 1)
            pictures, both = augmented(pictures, both, self.random, mirror=self.settings.mirror)
            foreground, lesion = both.split(1, 1)
        if not self.settings.foreground:
            foreground = torch.ones_like(foreground)
        return pictures, foreground * trust[:, None, None, None], lesion, heights

    def _normal(self) -> tuple[Tensor, Tensor, Tensor]:
        index = torch.randint(len(self.normal), (BATCH - self.count,), generator=self.random, device=self.device).cpu()
        pictures, foreground, heights = (part.to(self.device) for part in self.normal.batch(index))
        if self.settings.augment:
            pictures, foreground = augmented(pictures, foreground, self.random, mirror=self.settings.mirror)
        return pictures, foreground, heights
