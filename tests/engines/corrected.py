"""Corrections of phantoms, for the tests of what engines make of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engines.corrections import AUTO, CORRECTED, REJECTED, CorrectedVolume
from engines.files import load_mask, load_volume
from engines.samples import Cohort, Sample


def outlined(sample: Sample, name: str = "c0") -> CorrectedVolume:
    """A reader outlined the lesion, called the slices next to it healthy and left the others alone."""
    volume = load_volume(sample)
    mask = load_mask(sample, volume)
    assert mask is not None
    ill = mask.any((0, 1))
    near = np.convolve(ill, np.ones(5), "same") > 0
    states = tuple(CORRECTED if one else REJECTED if beside else AUTO for one, beside in zip(ill, near, strict=True))
    return CorrectedVolume(
        name, sample.subject, sample.subject, "R", mask, np.roll(mask, 3, 0), states, 2, volume.affine, sample.volume,
        sample.modality,
    )  # fmt: skip


def some_outlined(cohort: Cohort, count: int = 2) -> Sequence[CorrectedVolume]:
    """Test subjects with a lesion, as a reader left them."""
    samples = [one for one in cohort.samples if one.mask is not None and one.split == "test"][:count]
    return [outlined(sample, f"c{number}") for number, sample in enumerate(samples)]
