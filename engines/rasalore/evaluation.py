"""python -m engines.rasalore.evaluation MODEL COHORT.csv: figures of both stages on held-out subjects.

As the paper counts: Dice at 0.5 and average precision of each slice with a lesion, in the network's own frame. As a
reader meets it: Dice of the whole volume on its own grid, lesion-free slices included. The only file here that opens
drawn masks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines import model_package
from engines.contract import Report, silent
from engines.errors import BadCohort, KnownError
from engines.files import load_mask, load_volume
from engines.metrics import Figure, average_precision, dice, mean, overlap, ranking
from engines.model_card import Metric
from engines.pseudo_masks import PseudoMask, PseudoStore
from engines.rasalore.engine import RasaLoreEngine, Seen, scored_region
from engines.rasalore.inference import shown_mask
from engines.samples import Cohort, read_cohort
from engines.terminal import progress
from engines.volume import Volume

Maps = NDArray[np.float32]
Bools = NDArray[np.bool_]
LEVEL = 0.5


@dataclass(slots=True)
class Tally:
    """What one method said of the subjects seen so far, one entry a subject."""

    slice_dice: list[float] = field(default_factory=list)
    slice_precision: list[float] = field(default_factory=list)
    volume_dice: list[float] = field(default_factory=list)
    voxels: list[tuple[Bools, Maps]] = field(default_factory=list)
    slices: list[tuple[Bools, Maps]] = field(default_factory=list)

    def figures(self) -> list[Figure]:
        """Everything, with intervals by subject."""
        best = [figure for figure in overlap(self.voxels, None) if "oracle" in figure.name]
        return [
            mean("Dice at 0.5 a slice with a lesion (paper)", self.slice_dice),
            mean("AP a slice with a lesion (paper)", self.slice_precision),
            mean("Dice at 0.5 a volume", self.volume_dice),
            *(replace(figure, name=f"volume {figure.name}") for figure in best),
            *(replace(figure, name=f"voxel {figure.name}") for figure in ranking(self.voxels)),
            *(replace(figure, name=f"slice {figure.name}") for figure in ranking(self.slices)),
        ]


def evaluate(
    model: Path, cohort: Cohort, store: PseudoStore | None = None, device: str = "auto", report: Report = silent
) -> dict[str, list[Figure]]:
    """Figures by method: stage 2, and DDPT alone where its pseudo-masks are given. Select the split first."""
    engine = RasaLoreEngine(model, device)
    tallies = {"RASALoRE": Tally(), **({"DDPT alone": Tally()} if store else {})}
    samples = [sample for sample in cohort.samples if sample.mask is not None]
    if not samples:
        raise BadCohort("No volume of the cohort has a drawn mask.", "Evaluation needs masks; training does not.")
    for done, sample in enumerate(samples):
        report(done, len(samples), sample.subject)
        volume = load_volume(sample)
        truth = load_mask(sample, volume)
        assert truth is not None
        seen = engine.look(volume)
        masks = shown_mask(seen.maps, seen.stack.foreground, engine.settings)
        native = seen.stack.to_volume(masks.astype(np.float32)) > 0.5
        heat = seen.stack.to_volume(seen.maps)
        add(tallies["RASALoRE"], volume, truth, seen, seen.maps, native, heat, seen.scores)
        if store is not None:
            add_first_stage(tallies["DDPT alone"], volume, truth, seen, store.for_sample(sample))
    report(len(samples), len(samples), "measuring")
    return {name: tally.figures() for name, tally in tallies.items()}


def add_first_stage(tally: Tally, volume: Volume, truth: Bools, seen: Seen, found: PseudoMask) -> None:
    """DDPT without any label: its map above one half, in slices that it holds for abnormal itself."""
    shape = [1, 1, 1]
    shape[found.slice_axis] = -1
    likely = np.nan_to_num(found.probability)
    heat = found.map * likely.reshape(shape)
    native = (found.map > LEVEL) & (likely >= LEVEL).reshape(shape)
    framed = seen.stack.from_volume(found.map)
    add(tally, volume, truth, seen, framed, native, heat, likely[seen.stack.indices])


def add(
    tally: Tally, volume: Volume, truth: Bools, seen: Seen, framed: Maps, native: Bools, heat: Maps, scores: Maps
) -> None:
    """Count one subject. framed: map in the network's frame (n, 2S, 2S); native, heat: on the volume's grid."""
    own = seen.stack.from_volume(truth) > LEVEL
    ill = np.flatnonzero(own.any((1, 2)))
    if len(ill):
        tally.slice_dice.append(float(np.mean([dice(own[k], framed[k] > LEVEL) for k in ill])))
        tally.slice_precision.append(
            float(np.mean([average_precision(own[k].ravel(), framed[k].ravel()) for k in ill]))
        )
        tally.volume_dice.append(dice(truth, native))
    region = scored_region(seen.stack)
    tally.voxels.append((truth[region], heat[region].astype(np.float32)))
    shown: Bools = np.asarray(np.moveaxis(truth, seen.stack.axis, 0).any((1, 2)))
    tally.slices.append((shown[seen.stack.indices], scores.astype(np.float32)))


def metrics(found: dict[str, list[Figure]], cohort: Cohort) -> tuple[Metric, ...]:
    """The figures as a model card holds them."""
    command = f"python -m engines.rasalore.evaluation MODEL {cohort.path.name} --pseudo-masks FOLDER"
    data = f"{cohort.name} {cohort.samples[0].split}"
    return tuple(
        Metric(
            name=f"{figure.name}, {method}", value=figure.value, low=figure.low, high=figure.high,
            subjects=figure.subjects, data=data, command=command, note=figure.note,
        )
        for method, figures in found.items()
        for figure in figures
    )  # fmt: skip


def table(found: dict[str, Sequence[Figure]]) -> list[str]:
    """A Markdown table, one column a method."""
    names = list(found)
    lines = [f"| figure | {' | '.join(names)} |", "|" + "---|" * (len(names) + 1)]
    rows = zip(*found.values(), strict=True)
    lines += [f"| {row[0].name} | {' | '.join(_shown(figure) for figure in row)} |" for row in rows]
    return lines


def _shown(figure: Figure) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 known trouble told in one line."""
    parser = argparse.ArgumentParser(prog="python -m engines.rasalore.evaluation", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--split", choices=("train", "val", "test"), default="test")
    parser.add_argument("--pseudo-masks", type=Path, help="folder of DDPT's pseudo-masks of the same subjects")
    parser.add_argument("--into-card", action="store_true", help="write the figures into the model's card")
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    chosen = parser.parse_args(arguments)
    try:
        cohort = read_cohort(chosen.cohort).select(split=chosen.split)
        store = PseudoStore.open(chosen.pseudo_masks) if chosen.pseudo_masks else None
        with progress() as report:
            found = evaluate(chosen.model, cohort, store, chosen.device, report)
        if chosen.into_card:
            card = model_package.read_card(chosen.model)
            model_package.replace_card(chosen.model, card.model_copy(update={"metrics": metrics(found, cohort)}))
    except KnownError as error:
        print(f"evaluation: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print("\n".join(table(dict(found))))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
