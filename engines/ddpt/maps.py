"""Where the network looked: three maps a slice, their blend, and its way onto the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from engines.ddpt.network import Backbone, DualPrompts, Glance, glance, watched
from engines.ddpt.settings import Settings

MAPS = ("class token attention", "class difference", "likeness to texts")
LEAST_BRAIN = 0.1  # a place with less brain in it shows nothing
GUIDE_EPSILON = 1e-3  # variance of grey levels (0..1) below which the filter sees no edge
SMALL = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """log_odds: (b,), of a lesion against none. maps: (b, 3, places), not negative, in the order of MAPS."""

    log_odds: Tensor
    maps: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """One pass with its gradients. attention: (b, places), of the last block's class token, sums to less than 1.

    likeness: (b, places), log-odds that a place is like the unhealthy text.
    """

    glance: Glance
    attention: Tensor
    likeness: Tensor

    @property
    def log_odds(self) -> Tensor:
        """Of a lesion in the slice against none, (b,)."""
        logits = self.glance.logits.float()
        return logits[:, 1] - logits[:, 0]


def watch(backbone: Backbone, prompts: DualPrompts, seen: Tensor, settings: Settings) -> Watched:
    """One pass over a batch, with a hook on the last block only. seen: what backbone.look gave."""
    with watched(backbone.last_attention) as rows:
        found = glance(backbone, prompts, backbone.embed(seen), learned_text=settings.text == "learned")
    features = functional.normalize(backbone.project(found.tokens[:, 1:]), dim=-1)
    likeness = (backbone.scale * features @ found.texts.T).float()  # (b, places, 2)
    attention = rows[0][:, 1 : found.tokens.shape[1]].float()
    return Watched(found, attention, likeness[..., 1] - likeness[..., 0])


@torch.no_grad()
def look_where(backbone: Backbone, prompts: DualPrompts, seen: Tensor, settings: Settings) -> Looked:
    """What a pass over a batch shows: whether, and three maps of where. seen: what backbone.look gave."""
    found = watch(backbone, prompts, seen, settings)
    of_classes = found.glance.class_attention[:, :, 1 : found.glance.tokens.shape[1]].float()
    maps = [found.attention, (of_classes[:, 1] - of_classes[:, 0]).clamp(min=0), found.likeness.sigmoid()]
    return Looked(found.log_odds, torch.stack(maps, 1))


def blended(maps: Tensor, inside: Tensor, weights: tuple[float, float, float]) -> Tensor:
    """Three maps (b, 3, places), each divided by its highest value inside the brain, averaged: (b, places), highest 1.

    inside: (b, places), share of brain. Floating point throughout: 256 grey levels of a flat attention are five.
    """
    shown = maps * (inside > LEAST_BRAIN)[:, None]
    weight = torch.tensor(weights, device=maps.device)[:, None]
    mixed = (_to_one(shown) * weight).sum(1)
    return _to_one(mixed)


def _to_one(maps: Tensor) -> Tensor:
    return maps / maps.amax(-1, keepdim=True).clamp(min=SMALL)


def on_pictures(
    maps: Tensor, pictures: NDArray[np.float32], inside: NDArray[np.bool_], settings: Settings
) -> NDArray[np.float32]:
    """Maps (n, places) at the pictures' size (n, S, S): bicubic, fitted to the picture, 0 outside, highest 1."""
    side, size = round(maps.shape[1] ** 0.5), pictures.shape[-1]
    large = functional.interpolate(maps.unflatten(1, (1, side, side)).float(), (size, size), mode="bicubic")
    found = large[:, 0].clamp(0, 1).cpu().numpy()
    if settings.guide_px:
        guide = (pictures + 1) / 2
        found = np.stack(
            [guided(one, grey, brain, settings.guide_px) for one, grey, brain in zip(found, guide, inside, strict=True)]
        )
    found = np.clip(np.where(inside, found, 0), 0, None)
    highest = found.max((1, 2), keepdims=True, initial=0)
    return np.asarray(found / np.maximum(highest, SMALL), np.float32)


def guided(
    values: NDArray[np.float32], guide: NDArray[np.float32], inside: NDArray[np.bool_], radius: int
) -> NDArray[np.float32]:
    """Guided filter (He, Sun and Tang 2013): values follow the edges of the guide, in windows of 2 radius + 1 pixels.

    All means are taken inside the brain. values, guide, inside: (S, S).
    """
    weight = inside.astype(np.float64)

    def mean(array: NDArray[np.floating]) -> NDArray[np.float64]:
        blurred = ndimage.uniform_filter(array * weight, 2 * radius + 1, mode="constant")
        return np.asarray(blurred / np.maximum(share, 1e-3))

    share = ndimage.uniform_filter(weight, 2 * radius + 1, mode="constant")
    guide_mean, value_mean = mean(guide), mean(values)
    slope = (mean(guide * values) - guide_mean * value_mean) / (mean(guide**2) - guide_mean**2 + GUIDE_EPSILON)
    offset = value_mean - slope * guide_mean
    return np.asarray(mean(slope) * guide + mean(offset), np.float32)


def pseudo_masks(maps: NDArray[np.float32], healthy: NDArray[np.bool_], settings: Settings) -> NDArray[np.bool_]:
    """Where maps (n, S, S) lie above settings.mask_level; nothing in slices that are healthy (n,), no small parts."""
    masks = maps > settings.mask_level
    masks[healthy] = False
    for mask in masks:
        parts, count = ndimage.label(mask)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)
        mask &= (sizes >= settings.least_px)[parts]
    return masks


def smoothed_over_slices(
    log_odds: NDArray[np.float32], heights: NDArray[np.float32], settings: Settings
) -> NDArray[np.float32]:
    """Log-odds (n,) averaged over neighbouring slices, whichever way they are counted: a lesion spans several."""
    if not settings.smooth_slices:
        return log_odds
    order = np.argsort(heights, kind="stable")
    out = np.empty_like(log_odds)
    out[order] = ndimage.gaussian_filter1d(log_odds[order], settings.smooth_slices, mode="nearest")
    return out
