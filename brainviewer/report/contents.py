"""What a report says, in plain values, and the words for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brainviewer.study import Series
from brainviewer.study.material import Material

if TYPE_CHECKING:
    from engines.comparison import Pair
    from engines.findings import Finding

NOTICE = "Research use only; not for diagnosis."
MOST_KEY_IMAGES = 3
MOST_ROWS = 20
THIRDS = (("posterior", "middle", "anterior"), ("lower", "middle", "upper"))


@dataclass(frozen=True, slots=True, eq=False)
class RunPart:
    """One run and what its model says about itself.

    limits, intended_use: sentences of the model's card. calibration: on what its percentiles rest.
    """

    material: Material
    title: str
    limits: str = ""
    intended_use: str = ""
    calibration: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """Name, ID and dates of the patient; only with the user's consent. rows: (what, value)."""

    rows: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CorrectionPart:
    """A reader's correction of a mask. states: how many slices are in which state, in words."""

    reader: str
    began: str
    of: str
    steps: int
    states: str


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """One report.

    study: pseudonym of the study. person: None for a de-identified report. series: every series of the study.
    pairs: agreement of every two runs, numbers into runs. versions: (program, version). made: ISO date.
    """

    runs: tuple[RunPart, ...]
    study: str
    made: str
    series: tuple[Series, ...] = ()
    person: Person | None = None
    problems: int = 0
    pairs: tuple[Pair, ...] = ()
    seen_by: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)
    corrections: tuple[CorrectionPart, ...] = ()
    impression: str = ""
    notes: str = ""
    versions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class KeyImage:
    """A place worth a picture. number: of the finding, 0 where nothing was found."""

    run: int
    number: int
    position_mm: tuple[float, float, float]
    caption: str


def key_images(contents: Contents, most: int = MOST_KEY_IMAGES) -> list[KeyImage]:
    """The largest findings of each run; its hottest voxel where it found nothing."""
    images = []
    for run, part in enumerate(contents.runs):
        material = part.material
        for number, finding in enumerate(material.findings[:most], start=1):
            caption = f"{part.title}, finding {number}: {described(material, finding)}"
            images.append(KeyImage(run, number, middle_of(material, number), caption))
        if not material.findings:
            voxel = np.unravel_index(int(material.percentiles.argmax()), material.percentiles.shape)
            x, y, z = (material.volume.affine @ [*voxel, 1])[:3]
            found = "only places too small to be listed lie" if material.mask.any() else "nothing lies"
            highest = peak(float(material.percentiles.max()))
            caption = f"{part.title}: {found} above the threshold. The highest percentile is {highest}."
            images.append(KeyImage(run, 0, (float(x), float(y), float(z)), caption))
    return images


def middle_of(material: Material, number: int) -> tuple[float, float, float]:
    """A place inside a finding, in the slice that shows most of it, as near as can be to its middle there; RAS+ mm.

    The peak would be a poor choice: where many voxels lie above every healthy one it is any of them.
    """
    at = np.argwhere(material.labels == number)
    axis = material.result.slice_axis
    counts = np.bincount(at[:, axis])
    within = at[at[:, axis] == counts.argmax()]
    voxel = within[np.linalg.norm(within - within.mean(axis=0), axis=1).argmin()]
    x, y, z = (material.volume.affine @ [*voxel, 1])[:3]
    return float(x), float(y), float(z)


def described(material: Material, finding: Finding) -> str:
    """A finding in one line: size, percentile, place."""
    parts = [f"{finding.volume_ml:.2f} ml" if finding.volume_ml is not None else f"{finding.voxels} voxels"]
    parts += [f"peak percentile {peak(finding.peak)}", location(material, finding)]
    return ", ".join(part for part in parts if part)


def peak(percentile: float) -> str:
    """A percentile with two digits; 100 would say more than any cohort of healthy subjects can."""
    return f"{percentile:.2f}" if percentile < 99.995 else "above 99.99"


def location(material: Material, finding: Finding) -> str:
    """Where a finding lies, in thirds of what was scored: "left, anterior, upper"; coarse, and no anatomy.

    Only the side where the place in the patient is not known.
    """
    if not material.side_known:
        return finding.side
    low, high = _scored_box(material)
    words = [finding.side]
    for axis, names in zip((1, 2), THIRDS, strict=True):
        share = (finding.centroid_mm[axis] - low[axis]) / max(high[axis] - low[axis], 1e-6)
        words.append(names[min(2, max(0, math.floor(share * 3)))])
    return ", ".join(_joined(words))


def _joined(words: list[str]) -> list[str]:
    """Middle is said only where both are."""
    side, front, height = words
    where = [word for word in (front, height) if word != "middle"]
    return [side, *(where or ["middle"])]


def _scored_box(material: Material) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest RAS+ mm of the scored voxels."""
    region = material.result.region
    spans = [np.flatnonzero(region.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    if any(span.size == 0 for span in spans):
        spans = [np.array([0, size - 1]) for size in region.shape]
    corners = np.array([[spans[0][a], spans[1][b], spans[2][c], 1] for a in (0, -1) for b in (0, -1) for c in (0, -1)])
    at = corners @ material.volume.affine[:3].T
    return at.min(axis=0), at.max(axis=0)
