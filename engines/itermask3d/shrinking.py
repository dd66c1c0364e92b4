"""IterMask3D's test time: percentile schedule (phase A), threshold, shrinking mask (phase B); many volumes at once.

Every volume of a batch has its own curve, threshold and end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engines.contract import Report, silent
from engines.itermask3d.masking import masked_input
from engines.itermask3d.settings import Settings
from engines.itermask3d.threshold import STEPS, Floats

TAIL = 96  # percentile
Fill = Callable[[Tensor], Tensor]
"""(n, 2, i, j, k) -> (n, 1, i, j, k): the network, whichever form of it."""
Noise = Callable[[int], Tensor]
"""noise(m) for the m-th pass: anything that broadcasts to (n, 1, i, j, k); phase A counts from 0, phase B from 100."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Normalised volumes, their high-frequency images and brains (bool): (n, 1, i, j, k) each.

    weights: factors of the squared error, 0 outside the brain; as published the brains themselves.
    """

    volumes: Tensor
    edges: Tensor
    brains: Tensor
    weights: Tensor

    def of(self, chosen: Sequence[int]) -> Scene:
        """Some of the volumes."""
        index = list(chosen)
        return Scene(self.volumes[index], self.edges[index], self.brains[index], self.weights[index])


@dataclass(frozen=True, slots=True, eq=False)
class Shrunk:
    """What phase B found in one volume.

    filled, error: (i, j, k) of the last pass. masks: bool (i, j, k) each, from the first one to the final one; the last
    pass was made with the one before the final. mean_error: over all passes.
    """

    filled: Tensor
    error: Tensor
    mean_error: Tensor
    masks: tuple[Tensor, ...]

    @property
    def passes(self) -> int:
        """How often the network ran."""
        return len(self.masks) - 1


def errors(fill: Fill, scene: Scene, masks: Tensor, noise: Tensor, *, composite: bool = False) -> tuple[Tensor, Tensor]:
    """One pass: squared error inside the brain and the filled volumes, (n, 1, i, j, k) each."""
    filled = fill(masked_input(scene.volumes, scene.edges, masks, noise)).to(scene.volumes.dtype)
    if composite:
        filled = torch.where(masks, filled, scene.volumes)
    return (scene.volumes - filled).square() * scene.weights, filled


def percentile(error: Tensor, brain: Tensor, step: int) -> float:
    """The step-th percentile (1..100) of the error inside one brain: the floor(n step / 100)-th smallest value.

    The published code sorts the background's zeros along with it, so below the first voxel it is zero.
    """
    inside = error[brain]
    rank = len(inside) * step // STEPS
    return float(inside.kthvalue(rank).values) if rank else 0.0


def threshold_curves(
    fill: Fill,
    scene: Scene,
    noise: Noise,
    *,
    steps: Sequence[int] = range(1, STEPS + 1),
    keep: bool = False,
    enough: Callable[[Floats], bool] = lambda _: False,
    report: Report = silent,
) -> tuple[Floats, list[Tensor]]:
    """Phase A: tau of each volume, (n, 100), and with `keep` the error each step was read from (much memory).

    The mask is forced to the (100 - t) % of the brain with the highest error, step by step. Left-out steps are
    interpolated (tau(0) = 0). enough(tau so far, the rest NaN): end early, when it holds for every volume.
    """
    count = len(scene.volumes)
    known = np.full((count, len(steps) + 1), np.nan)
    known[:, 0] = 0
    wanted = np.arange(1, STEPS + 1)
    masks, seen = scene.brains, []
    for number, step in enumerate(steps):
        report(number, len(steps), "finding the threshold")
        error, _ = errors(fill, scene, masks, noise(number))
        if keep:
            seen.append(error)
        known[:, number + 1] = [percentile(error[n], scene.brains[n], step) for n in range(count)]
        limits = torch.as_tensor(known[:, number + 1], dtype=error.dtype, device=error.device)
        curves = np.stack([np.interp(wanted, [0, *steps], row) for row in known])
        if all(enough(curve) for curve in curves):
            break
        masks = error > limits.view(-1, 1, 1, 1, 1)
    return curves, seen


def shrink(
    fill: Fill,
    scene: Scene,
    thresholds: Sequence[float],
    starts: Tensor,
    noise: Noise,
    settings: Settings,
    report: Report = silent,
) -> list[Shrunk]:
    """Phase B: mask what errs more than the threshold, fill anew, until the mask hardly shrinks or grows.

    A volume that has ended is not computed any longer; max_iterations ends every one.
    """
    found: dict[int, Shrunk] = {}
    masks = [[start[0]] for start in starts]
    sums = torch.zeros_like(scene.volumes)
    active = list(range(len(starts)))
    for iteration in range(settings.max_iterations):
        report(iteration, settings.max_iterations, f"shrinking the mask, iteration {iteration + 1}")
        current = torch.stack([masks[n][-1] for n in active])[:, None]
        error, filled = errors(fill, scene.of(active), current, noise(STEPS + iteration), composite=settings.composite)
        sums[active] += error
        going = []
        for place, n in enumerate(active):
            updated = error[place, 0] > thresholds[n]
            before, after = int(masks[n][-1].sum()), int(updated.sum())
            masks[n].append(updated)
            shrinks = before > 0 and (before - after) / before >= settings.stop_ratio
            if shrinks and iteration + 1 < settings.max_iterations:
                going.append(n)
            else:
                found[n] = Shrunk(filled[place, 0], error[place, 0], sums[n, 0] / (iteration + 1), tuple(masks[n]))
        active = going
        if not active:
            break
    return [found[n] for n in range(len(starts))]


def schedule(settings: Settings) -> list[int]:
    """The percentiles that phase A tries: all, or every coarse_step-th and those of the tail, where a curve bends."""
    if settings.mode == "exact":
        return [*range(1, STEPS + 1)]
    return sorted({*range(settings.coarse_step, STEPS + 1, settings.coarse_step), *range(TAIL, STEPS + 1)})
