"""Where lesions look like lesions: a pixel classifier that learns from slice labels alone.

Pixels of labelled slices are a mixture of lesion and normal tissue, pixels of lesion-free slices are normal tissue.
A classifier of the two kinds of slices therefore knows how much more often a look occurs in labelled slices, and what
occurs more often is lesion: P(lesion | look) = 1 - (1 - a) (1 - P) / P, with P the classifier's probability at even
odds and a the share of lesion in labelled slices (positive-unlabeled learning, Elkan and Noto 2008). Brightness may
only speak for a lesion, never against one: this holds for FLAIR and T2, and keeps the classifier from
recognising labelled slices by what lies opposite of a lesion. Slices of each height weigh the same in both kinds, or
height would give them away. A subject's pixels are judged by classifiers that never saw the subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engines.contract import Report, silent
from engines.preparation import TISSUE_LEVEL

Maps = NDArray[np.float32]
Bools = NDArray[np.bool_]
Features = NDArray[np.float32]

SIDE = 64  # pixels along a side that are judged
FOLDS = 4
TREES = 80
PER_SLICE_KIND = 6000  # pixels of a subject that are learned from, of labelled and of lesion-free slices
LESION_SHARE = 0.05  # of the brain in a labelled slice, at least
HEIGHT_BINS = 20
# Grey levels at three widths and against the other side of the head may only speak for a lesion; places may do both.
RISING = (1, 1, 1, 1, 1, 0, 0, 0)


def lesion_probability(
    pictures: Sequence[Maps],
    foregrounds: Sequence[Bools],
    heights: Sequence[Maps],
    labels: Sequence[Bools],
    subjects: Sequence[str],
    seed: int = 0,
    report: Report = silent,
    *,
    trees: int = TREES,
) -> list[Maps]:
    """P(lesion) of each pixel, one array (n, side, side) a volume, side <= SIDE; 0 outside the brain.

    A list has one entry a volume: pictures (n, S, S) in -1..1, foregrounds alike, heights (n,), labels (n,).
    """
    looks = [features(*parts) for parts in zip(pictures, foregrounds, heights, strict=True)]
    random = np.random.default_rng(seed)
    names = sorted(set(subjects))
    random.shuffle(names)
    folds = min(FOLDS, len(names))
    fold_of = {name: number % folds for number, name in enumerate(names)}
    samples = [
        _sampled(look, inside, height, label, random)
        for (look, inside), height, label in zip(looks, heights, labels, strict=True)
    ]
    found: list[Maps] = [np.zeros(inside.shape, np.float32) for _, inside in looks]
    for fold in range(folds):
        report(fold, folds, "learning how lesions look")
        own = [i for i, name in enumerate(subjects) if fold_of[name] == fold]
        others = [sample for i, sample in enumerate(samples) if i not in own]
        # With a single subject that shows a lesion there is nobody else to learn from.
        classifier = _fitted(others, trees, seed) or _fitted(samples, trees, seed)
        for i in own:
            look, inside = looks[i]
            if classifier is not None and inside.any():
                likely = classifier.predict_proba(look[inside])[:, 1]
                found[i][inside] = np.clip(1 - (1 - LESION_SHARE) * (1 - likely) / np.maximum(likely, 1e-3), 0, 1)
    return found


def features(pictures: Maps, foreground: Bools, heights: Maps) -> tuple[Features, Bools]:
    """Looks (n, side, side, len(RISING)) of each pixel, and which pixels count."""
    grey, inside = _pooled(pictures, foreground)
    order = np.argsort(heights)  # neighbours in the patient
    back = np.argsort(order)
    grey, weight = grey[order], inside[order].astype(np.float32)
    scale = grey.shape[1] / SIDE
    fine, medium, wide = (
        _blurred(grey, weight, slices, scale * px) for slices, px in ((0, 0.5), (0.4, 1.2), (0.7, 2.5))
    )
    other_side = np.where(weight * weight[:, :, ::-1] > 0, wide[:, :, ::-1], np.nan)
    depth = np.stack([ndimage.distance_transform_edt(np.pad(plane, 1))[1:-1, 1:-1] for plane in weight > 0]) / scale
    side = grey.shape[1]
    rows, cols = np.meshgrid(
        np.arange(side) / side - 0.5, np.abs(np.arange(side) + 0.5 - side / 2) / side, indexing="ij"
    )
    parts = [
        fine, medium, wide, np.nan_to_num(medium - other_side), np.nan_to_num(wide - other_side), depth,
        np.broadcast_to(rows, grey.shape), np.broadcast_to(cols, grey.shape),
    ]  # fmt: skip
    return np.stack(parts, -1)[back].astype(np.float32), inside


def _pooled(pictures: Maps, foreground: Bools) -> tuple[Maps, Bools]:
    """Brightness over the median of the brain, and the foreground, in pictures of at most SIDE pixels."""
    grey = np.where(foreground, (pictures + 1) / 2 / TISSUE_LEVEL, 0).astype(np.float32)
    factor = max(1, pictures.shape[1] // SIDE)
    side = pictures.shape[1] // factor
    shape = (len(pictures), side, factor, side, factor)
    cut = side * factor
    share = foreground[:, :cut, :cut].reshape(shape).mean((2, 4))
    mean = grey[:, :cut, :cut].reshape(shape).mean((2, 4)) / np.maximum(share, 1e-3)
    return np.where(share > 0.5, mean, 0).astype(np.float32), share > 0.5


def _blurred(grey: Maps, weight: Maps, slices: float, px: float) -> Maps:
    """Gaussian means within the brain."""
    sigma = (slices, px, px)
    total, share = ndimage.gaussian_filter(grey * weight, sigma), ndimage.gaussian_filter(weight, sigma)
    blurred: Maps = total / np.maximum(share, 1e-3) * (weight > 0)
    return blurred


def _sampled(
    look: Features, inside: Bools, heights: Maps, labels: Bools, random: np.random.Generator
) -> tuple[Features, Maps, Bools]:
    """Looks, heights and slice labels of some pixels of a volume, as many of labelled slices as of others."""
    flat, tall = look[inside], np.broadcast_to(heights[:, None, None], inside.shape)[inside]
    known = np.broadcast_to(labels[:, None, None], inside.shape)[inside]
    chosen = [
        random.choice(where, min(len(where), PER_SLICE_KIND), replace=False)
        for where in (np.flatnonzero(known), np.flatnonzero(~known))
    ]
    index = np.concatenate(chosen)
    return flat[index], tall[index], known[index]


def _fitted(samples: Sequence[tuple[Features, Maps, Bools]], trees: int, seed: int) -> Any:
    """A classifier of labelled against lesion-free slices, or None where one of the two is missing."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    if not samples:
        return None
    looks, heights, labels = (np.concatenate(parts) for parts in zip(*samples, strict=True))
    weight = _even_heights(heights, labels)
    used = weight > 0
    if not used.any():
        return None
    classifier = HistGradientBoostingClassifier(
        max_iter=trees,
        max_leaf_nodes=24,
        learning_rate=0.1,
        min_samples_leaf=min(200, max(2, int(used.sum()) // 20)),
        l2_regularization=1.0,
        monotonic_cst=RISING,
        random_state=seed,
    )
    return classifier.fit(looks[used], labels[used], weight[used])


def _even_heights(heights: Maps, labels: Bools) -> NDArray[np.float64]:
    """Weights that give both kinds of slices the same share at every height; 0 where only one kind occurs."""
    bins = np.minimum((heights * HEIGHT_BINS).astype(int), HEIGHT_BINS - 1)
    counts = np.stack([np.bincount(bins[labels == kind], minlength=HEIGHT_BINS) for kind in (False, True)])
    share = counts.min(0) / np.maximum(counts, 1)
    even: NDArray[np.float64] = share[labels.astype(int), bins]
    return even
