"""python -m engines.ddpt.pseudo_masks MODEL COHORT.csv --out FOLDER: pseudo-masks of a cohort for a second stage.

Where a slice's label is known it decides whether the slice has a mask; elsewhere, and always in the test split, the
model's own probability does. No mask file of the cohort is opened.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines import pseudo_masks
from engines.contract import Report, silent
from engines.ddpt.engine import Ddpt, Found, on_volume, scored_region
from engines.ddpt.maps import pseudo_masks as masks_of
from engines.ddpt.medsam import MedSam
from engines.ddpt.slices import has_labels, prepared
from engines.errors import BadCohort, BadVolume, KnownError
from engines.files import load_volume
from engines.preparation import SliceStack
from engines.pseudo_masks import Index, PseudoMask, PseudoStore
from engines.samples import Cohort, Sample, read_cohort
from engines.terminal import progress


def write(
    engine: Ddpt,
    cohort: Cohort,
    out: Path,
    medsam: MedSam | None = None,
    report: Report = silent,
) -> PseudoStore:
    """Pseudo-masks of all volumes of a cohort (select splits first); volumes without a brain are left out."""
    settings = engine.settings
    index = Index(
        engine=engine.card.key,
        model=f"{engine.model_card.name} {engine.model_card.version}",
        model_digest=engine.model_card.digest,
        cohort=cohort.name,
        cohort_digest=cohort.digest,
        settings={
            "blend": list(settings.blend),
            "guide_px": settings.guide_px,
            "mask_level": settings.mask_level,
            "least_px": settings.least_px,
            "gate": settings.gate,
            "medsam": medsam.digest if medsam else "",
        },
        refined=medsam is not None,
    )
    return pseudo_masks.write(out, index, _made(engine, cohort, medsam, report))


def _made(
    engine: Ddpt, cohort: Cohort, medsam: MedSam | None, report: Report
) -> Iterator[tuple[Sample, str, PseudoMask]]:
    for done, sample in enumerate(cohort.samples):
        report(done, len(cohort), sample.subject)
        try:
            stack = prepared(load_volume(sample), engine.backbone.size, engine.settings)
        except BadVolume:
            continue
        path = Path(os.path.relpath(sample.volume, cohort.path.parent)).as_posix()
        yield sample, path, pseudo_mask(engine, stack, engine.find(stack), known_labels(sample, stack), medsam)
    report(len(cohort), len(cohort), "written")


def known_labels(sample: Sample, stack: SliceStack) -> NDArray[np.bool_] | None:
    """Whether each slice of the volume shows a lesion (slices,); None where it must not or cannot be known."""
    if sample.split == "test" or not has_labels(sample):
        return None
    if sample.label == "normal":
        return np.zeros(stack.slices, bool)
    if not sample.slice_labels:
        return np.ones(stack.slices, bool)
    if stack.axis != 2:
        raise BadCohort(f"{sample.volume} is looked at along another axis than that of its slice labels.")
    return np.array([label == "1" for label in sample.slice_labels])


def pseudo_mask(
    engine: Ddpt, stack: SliceStack, found: Found, labels: NDArray[np.bool_] | None, medsam: MedSam | None = None
) -> PseudoMask:
    """What was found in a volume as a pseudo-mask on its own grid. labels: (slices,) or None."""
    probability = stack.per_slice(found.probability)
    sure = np.nan_to_num(probability)
    gated = sure < engine.settings.gate if labels is None else ~labels
    masks = masks_of(found.blend, gated[stack.indices], engine.settings)
    refined = medsam.refine(stack.pictures, masks).masks if medsam else None
    return PseudoMask(
        map=np.where(scored_region(stack), stack.to_volume(found.blend), 0).astype(np.float32),
        mask=on_volume(stack, masks),
        refined=None if refined is None else on_volume(stack, refined),
        region=scored_region(stack),
        probability=probability,
        gated=gated,
        confidence=np.where(gated, np.ones_like(sure) if labels is not None else 1 - sure, sure),
        slice_axis=stack.axis,
    )


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 known trouble told in one line, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m engines.ddpt.pseudo_masks", description=__doc__)
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("cohort", type=Path, help="CSV file of the cohort")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", action="append", choices=("train", "val", "test"), help="default: train and val")
    parser.add_argument("--medsam", type=Path, help="folder with a MedSAM for a second opinion")
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    chosen = parser.parse_args(arguments)
    try:
        cohort = read_cohort(chosen.cohort)
        splits = chosen.split or ["train", "val"]
        wanted = dataclasses.replace(cohort, samples=tuple(s for s in cohort.samples if s.split in splits))
        engine = Ddpt(chosen.model, chosen.device)
        medsam = MedSam(chosen.medsam, engine.device.name) if chosen.medsam else None
        with progress() as report:
            store = write(engine, wanted, chosen.out, medsam, report)
    except KnownError as error:
        print(f"pseudo_masks: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"{len(store.index.volumes)} volumes in {chosen.out}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
