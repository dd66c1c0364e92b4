"""`brainviewer demo`: the sample study with every engine's heatmap that fits it, in a window or in files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from brainviewer.commands.outcome import known_trouble, tell

if TYPE_CHECKING:
    from brainviewer.commands.matching import Match
    from brainviewer.study import Study
    from engines import AnomalyResult, Report, Volume
    from engines.model_package import Model

NO_MODEL = "No model that fits the sample study comes with this copy of BrainViewer, so there is no heatmap on it yet."


def demo(
    offscreen: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write pictures and results, no window.")
    ] = None,
    device: Annotated[Literal["auto", "cuda", "cpu"], typer.Option(help="Where to compute off-screen.")] = "auto",
    artefact: Annotated[
        str, typer.Option(metavar="KIND", help="Spoil the T1 scan: noise, motion, ghosting, ... and show that one.")
    ] = "",
    severity: Annotated[float, typer.Option(min=0, max=1, help="How bad the artefact is.")] = 0.5,
    as_json: Annotated[bool, typer.Option("--json", help="Print facts for scripts (off-screen only).")] = False,
) -> None:
    """Show the sample study with heatmaps, or write it all to files."""
    from brainviewer.demo import cache_folder, cached
    from brainviewer.demo.spoiling import spoiled
    from engines.terminal import progress

    with known_trouble():
        with progress() as report:
            study = cached(report)
            if artefact:
                study = spoiled(cache_folder(), artefact, severity)
            facts = None if offscreen is None else draw(study, offscreen, device, report)
        if facts is not None:
            tell(facts, as_json)
            if not facts["runs"]:
                typer.echo(NO_MODEL, err=True)
            return
    from brainviewer.app import main

    raise typer.Exit(main([study], demo=True))


def draw(study: Path, out: Path, device: str, report: Report) -> dict[str, Any]:
    """Detect on the sample study and write pictures and results to `out`; returns what was written."""
    from brainviewer import reading
    from brainviewer.commands.matching import models_at_hand
    from brainviewer.storage.folders import make
    from engines import catalog

    make(out)
    studies = reading.scan([study], report)
    volumes: dict[str, Volume] = {}
    pictures, runs = [], []
    for series in studies[0].series:
        volumes[series.uid] = reading.load(series, report)
        pictures.append(str(_picture(out / f"{series.modality or 'series'}.png", volumes[series.uid])))
    maps = []
    for match in fitting(studies, models_at_hand()):
        volume = volumes[match.series.uid]
        result = catalog.create(match.model.card.engine, match.model.folder, device).detect(volume, report)
        runs.append(_keep(match, volume, result, out))
        maps.append((runs[-1]["title"], volume, result))
    if len(maps) > 1:
        pictures.append(str(_side_by_side(out / "compare.png", next(iter(volumes.values())), maps)))
    made = str(_report(studies[0], [Path(run["results"]) for run in runs], out, report)) if runs else None
    return {"study": str(study), "folder": str(out.resolve()), "pictures": pictures, "report": made, "runs": runs}


def fitting(studies: list[Study], models: Iterable[Model]) -> list[Match]:
    """The first model of each engine made for a series of the study; models for other images are left out."""
    from brainviewer.commands.matching import Match

    found: dict[str, Match] = {}
    for model in models:
        for series in studies[0].series:
            if model.card.modality and model.card.modality == series.modality:
                found.setdefault(model.card.engine, Match(model, series))
    return list(found.values())


def _picture(path: Path, volume: Volume, result: AnomalyResult | None = None, title: str = "") -> Path:
    from brainviewer.render.offscreen import save_views

    percentiles = None if result is None else _percentiles(result)
    save_views(volume, percentiles, None if result is None else result.region, path, title=title)
    return path


def _percentiles(result: AnomalyResult) -> Any:
    from brainviewer.jobs.tasks import percentiles_of

    return percentiles_of(result)


def _side_by_side(path: Path, shown: Volume, runs: list[tuple[str, Volume, AnomalyResult]]) -> Path:
    """All runs on one series; those on its sister are resampled in patient space."""
    from brainviewer.jobs.tasks import align, percentiles_of
    from brainviewer.render.offscreen import save_side_by_side
    from brainviewer.render.overlay import Heatmap

    heatmaps = []
    for title, volume, result in runs:
        moved = align(percentiles_of(result), result.region, volume.affine, shown.shape, shown.affine)
        heatmaps.append(Heatmap(*moved, title))
    save_side_by_side(shown, heatmaps, path)
    return path


def _report(study: Study, folders: list[Path], out: Path, report: Report) -> Path:
    """The report of all runs as PDF."""
    from brainviewer.commands.report import known_models, write
    from brainviewer.jobs import reporting
    from brainviewer.jobs.gathering import gather

    materials = [gather(folder, study, report=report) for folder in folders]
    write(reporting.contents(materials, known_models(), report=report), out / "report.pdf", "A4")
    return out / "report.pdf"


def _keep(match: Match, volume: Volume, result: AnomalyResult, out: Path) -> dict[str, Any]:
    from engines import catalog, results

    card = match.model.card
    folder = out / card.engine
    results.write(folder, result, volume)
    title = f"{catalog.card(card.engine).title} {card.version}"
    picture = _picture(out / f"{card.engine}.png", volume, result, title)
    return {
        "engine": card.engine,
        "title": title,
        "model": f"{card.name} {card.version}",
        "series": match.series.modality,
        "picture": str(picture),
        "results": str(folder),
        "seconds": round(result.provenance.seconds, 2),
        "dice_with_the_true_lesion": _dice(result, volume, match.series.modality),
    }


def _dice(result: AnomalyResult, volume: Volume, modality: str) -> float:
    """Overlap of the mask with the lesion that was simulated, brought onto the volume's grid."""
    import numpy as np

    from brainviewer.demo import cache_folder
    from engines.comparison import on_grid
    from engines.files import read_volume

    truth = read_volume(cache_folder() / "nifti" / f"{modality.lower()}_lesion.nii.gz")
    lesion = on_grid(truth.voxels > 0, truth.affine, volume.shape, volume.affine, "nearest")
    mask = result.mask()
    return round(float(2 * np.sum(lesion & mask) / max(np.sum(lesion) + np.sum(mask), 1)), 3)
