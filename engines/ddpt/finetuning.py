"""DDPT learns from readers' corrections: where the class token shall look, and which slices show a lesion.

Slice labels are fixed by what a reader decided; on corrected slices the last block's attention and the likeness of
each place to the class texts follow the reader's mask (RASALoRE spec, section g; the second is ours, since the
pseudo-mask is made of both). Replayed slices keep their training labels and what the old model said of them.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from engines import device as devices
from engines import model_package
from engines.blocks import network_weights
from engines.contract import Report, silent
from engines.ddpt import CARD
from engines.ddpt.backbones import stored_backbone, stored_networks
from engines.ddpt.clip_backbone import ClipBackbone
from engines.ddpt.compact import CompactBackbone
from engines.ddpt.corrected_slices import Bools, Judged, Material, Rows, material
from engines.ddpt.losses import attention_loss, auxiliary_loss, places_loss
from engines.ddpt.maps import Watched, blended, look_where, on_pictures, pseudo_masks, smoothed_over_slices, watch
from engines.ddpt.network import DualPrompts
from engines.ddpt.seen_slices import CHUNK, coverage
from engines.ddpt.settings import Settings
from engines.ddpt.training import new_prompts
from engines.finetuning import Example, Figures, Learned, Plan
from engines.metrics import dice
from engines.setting_values import restore
from engines.training import TrainingState
from engines.tuning import Weights, choose, examples, mean, steps_for, stratified, tuned

LEARNING_RATE, BATCH, EMA = 2e-4, 16, 0.97  # many small steps: a few large ones forget what healthy slices look like
BETA = 0.5  # weight of the attention term, and of the likeness of places
HOLD = 3.0  # weight of what the old model said of replayed slices
SHARES = (0.5, 0.25, 0.25)  # of a batch: corrected, replay with a lesion, replay without
LARGEST_STEP = 1.0


class Tuned(nn.Module):
    """Prompts and backbone, with all that a package holds in the state under its names; a CLIP stays outside."""

    def __init__(self, backbone: ClipBackbone | CompactBackbone, prompts: DualPrompts) -> None:
        super().__init__()
        self.looker = (backbone,)  # in a tuple, so that a CLIP is no part of the state
        for name, network in stored_networks(backbone, prompts).items():
            self.add_module(name, network)
        self.prompts = prompts

    def twin(self) -> Tuned:
        """The same weights once more; a CLIP is shared."""
        own = self.looker[0]
        backbone = own if isinstance(own, ClipBackbone) else copy.deepcopy(own)
        return Tuned(backbone, copy.deepcopy(self.prompts)).requires_grad_(False).eval()

    def watch(self, seen: Tensor, settings: Settings) -> Watched:
        """One pass with gradients."""
        return watch(self.looker[0], self.prompts, seen, settings)


def finetune(plan: Plan, report: Report = silent) -> Learned:
    """Start from the model's weights, learn a little, keep the best that obeys the rules, measure before and after."""
    began = time.monotonic()
    loaded = model_package.load(plan.model, CARD.key)
    settings: Settings = restore(Settings, loaded.card.settings)
    device = devices.choose(plan.device)
    backbone = stored_backbone(settings, loaded.weights, loaded.card.name)
    prompts = new_prompts(backbone, settings)
    network_weights.restore({"prompts": prompts}, loaded.weights, loaded.card.name)
    backbone.eval()
    found = material(plan, settings, backbone, device, report)
    network = Tuned(backbone, prompts).to(device.torch)
    backbone.to(device.torch)
    old, tried = network.twin(), network.twin()
    before = figures(old, found, settings)
    tuning = Tuning(network, settings, found, plan.seed, device.torch)
    checkpoints = tuned(tuning.state, "network", tuning.step, tuning.steps, plan, report, EMA)

    def measure(weights: Weights) -> Figures:
        tried.load_state_dict(dict(weights))
        return figures(tried, found, settings)

    kept, after, facts = choose(old.state_dict(), checkpoints, before, measure, report)
    tried.load_state_dict(kept)
    shown = tuple(_examples(old, tried, found, settings))
    weights = network_weights.gathered(stored_networks(tried.looker[0], tried.prompts))
    return Learned(weights, before, after, time.monotonic() - began, tuning.state.history, shown, facts)


def figures(network: Tuned, found: Material, settings: Settings) -> Figures:
    """How good the pseudo-masks are.

    Dice on corrected slices kept apart (1 where both are empty), Dice on lesions planted in healthy slices nobody
    corrected, share of the brain marked in healthy slices.
    """
    apart, planted = ([_overlaps(network, one, settings) for one in part] for part in (found.apart, found.planted))
    marked = brain = 0
    for one in found.calm:
        masks = masks_of(network, one, settings)
        marked += int(masks[one.chosen].sum())
        brain += int(one.stack.foreground[one.chosen].sum())
    return Figures(mean(sum(apart, [])), mean(sum(planted, [])), marked / max(brain, 1))


def _overlaps(network: Tuned, one: Judged, settings: Settings) -> list[float]:
    masks = masks_of(network, one, settings)
    pairs = zip(one.wanted[one.chosen], masks[one.chosen], strict=True)
    return [1.0 if not wanted.any() and not mask.any() else dice(wanted, mask) for wanted, mask in pairs]


@torch.no_grad()
def masks_of(network: Tuned, one: Judged, settings: Settings) -> Bools:
    """Pseudo-masks (n, S, S) as detection makes them."""
    device = next(network.parameters()).device
    looked = [
        look_where(network.looker[0], network.prompts, part.to(device).float(), settings)
        for part in one.seen.split(8 * CHUNK[device.type])
    ]
    log_odds, maps = (
        torch.cat([part.log_odds for part in looked]).cpu(),
        torch.cat([part.maps for part in looked]).cpu(),
    )
    inside = coverage(torch.from_numpy(one.stack.foreground), network.looker[0].side)
    smooth = smoothed_over_slices(log_odds.numpy(), one.stack.heights, settings)
    healthy = torch.from_numpy(smooth).sigmoid().numpy() < settings.gate if one.gated else np.zeros(len(smooth), bool)
    # Only slices that count and have a mask are fitted to their pictures, which takes the longest.
    rows = np.flatnonzero(one.chosen & ~healthy)
    stack, masks = one.stack, np.zeros(one.stack.foreground.shape, bool)
    if not len(rows):
        return masks
    blend = blended(maps[rows], inside[rows], settings.blend)
    shown = on_pictures(blend, stack.pictures[rows], stack.foreground[rows], settings)
    masks[rows] = pseudo_masks(shown, healthy[rows], settings)
    return masks


def _examples(old: Tuned, new: Tuned, found: Material, settings: Settings) -> list[Example]:
    """Slices that were learned and slices kept apart, of the first volume that has some."""
    shown = []
    for one, learned in ((found.taught[0], True), (found.apart[0], False)):
        masks = [masks_of(network, one, settings)[one.chosen] for network in (old, new)]
        shown += examples(one.stack.pictures[one.chosen], one.wanted[one.chosen], *masks, learned=learned)
    return shown


def balanced(labels: Tensor, trust: Tensor) -> Tensor:
    """Weights (n,) that sum to 1, half of it for either class.

    Corrected slices show a lesion more often than those of the training; that must not become the model's belief.
    """
    weight = torch.zeros_like(trust)
    for own in (labels, ~labels):
        weight = weight + own * trust / (own * trust).sum().clamp(min=1e-3)
    return weight / weight.sum().clamp(min=1e-3)


class Tuning:
    """A short training of the prompts and, where the backbone is our own, of its blocks; encoders stay as they are."""

    def __init__(self, network: Tuned, settings: Settings, found: Material, seed: int, device: torch.device) -> None:
        self.network, self.old, self.settings, self.device = network, network.twin(), settings, device
        learned = [p for name, p in network.named_parameters() if not name.startswith("backbone.encoder.")]
        self.learned = [parameter.requires_grad_(True) for parameter in learned]
        self.state = TrainingState(
            modules={"network": network},
            optimisers={"network": torch.optim.AdamW(self.learned, LEARNING_RATE, weight_decay=settings.weight_decay)},
            random=torch.Generator().manual_seed(seed),
            averaged={"network": network.twin()},
        )
        parts = (found.learned, found.replay, found.healthy)
        self.pools = [Rows.joined(part) if part else None for part in parts]
        self.counts = [max(1, round(min(BATCH, settings.batch) * share)) for share in SHARES]
        drawn = Rows.joined(found.learned)
        self.steps = steps_for(len(drawn), self.counts[0])
        self.chances = [torch.ones(len(pool) if pool else 0) for pool in self.pools]
        self.chances[0] = stratified(drawn.subjects, self.steps * self.counts[0])

    def step(self, iteration: int) -> Mapping[str, float]:
        """One step on half corrected slices, a quarter replayed ones with a lesion, a quarter healthy ones."""
        drawn, *kept = [self._some(number) for number in range(3)]
        assert drawn is not None
        rows = self._mirrored(Rows.joined([drawn, *(part for part in kept if part is not None)]).to(self.device))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            found = self.network.watch(rows.seen, self.settings)
            with torch.no_grad():
                before = self.old.watch(rows.seen[len(drawn) :], self.settings)
        terms = self._terms(found, before, rows, len(drawn))
        optimiser = self.state.optimisers["network"]
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.learned, LARGEST_STEP)
        optimiser.step()
        return {name: term.item() for name, term in terms.items()}

    def _terms(self, found: Watched, before: Watched, rows: Rows, count: int) -> dict[str, Tensor]:
        """The losses by name; the first `count` rows are corrected, before: what the old model says of the others."""
        labels, places = rows.labels.long(), self.settings.blend[2] > 0
        image = functional.cross_entropy(found.glance.logits.float(), labels, reduction="none")
        shown = rows.labels[:count].float() * rows.trust[:count]
        corrected = BETA * attention_loss(found.attention[:count], rows.lesion[:count]) * shown
        terms = {
            "image": (image * balanced(rows.labels, rows.trust)).sum(),
            "class prompts": self.settings.alpha * auxiliary_loss(found.glance, labels).float(),
            "attention": corrected.sum() / shown.sum().clamp(min=1e-3),
        }
        if places:
            apart = places_loss(found.likeness[:count], rows.lesion[:count].clamp(0, 1), rows.inside[:count])
            terms["places"] = BETA * (apart * rows.trust[:count]).mean()
        if count < len(rows):
            held = attention_loss(found.attention[count:], before.attention)
            whole = torch.ones(len(held), 1, device=held.device)
            held = held + places_loss(found.log_odds[count:, None], before.log_odds[:, None].sigmoid(), whole)
            if places:
                held = held + places_loss(found.likeness[count:], before.likeness.sigmoid(), rows.inside[count:])
            terms["held"] = HOLD * held.mean()
        return terms

    def _some(self, number: int) -> Rows | None:
        pool = self.pools[number]
        if pool is None or not len(pool):
            return None
        chosen = torch.multinomial(self.chances[number], self.counts[number], True, generator=self.state.random)
        return pool[chosen]

    def _mirrored(self, rows: Rows) -> Rows:
        """Every second batch left for right, where the backbone can do that exactly."""
        backbone = self.network.looker[0]
        if not backbone.mirrors or torch.rand((), generator=self.state.random) < 0.5:
            return rows
        side = backbone.side
        inside, lesion = (part.unflatten(1, (side, side)).flip(2).flatten(1) for part in (rows.inside, rows.lesion))
        return Rows(backbone.mirrored(rows.seen), inside, lesion, rows.labels, rows.trust, rows.subjects)
