"""`brainviewer detect | train | calibrate | evaluate`: the engines on real files, without opening a window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from brainviewer.commands.models import models
from brainviewer.commands.outcome import known_trouble, note, tell

if TYPE_CHECKING:
    from brainviewer.commands.matching import Match
    from engines import Report, Volume
    from engines.model_package import Model
    from engines.samples import Cohort

__all__ = ["calibrate", "detect", "evaluate", "models", "train"]

Device = Annotated[
    Literal["auto", "cuda", "cpu"], typer.Option(help="Where to compute; auto takes a GPU if there is one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print facts for scripts.")]


def detect(
    path: Annotated[Path, typer.Argument(help="A DICOM folder, file, DICOMDIR or ZIP, a NIfTI file or a picture.")],
    engine: Annotated[list[str], typer.Option(help="Engine to run; may be given several times.")],
    out: Annotated[Path, typer.Option(help="Results go to OUT/ENGINE/.")],
    model: Annotated[list[str] | None, typer.Option(help="Model folder or name; else the one that fits.")] = None,
    series: Annotated[str, typer.Option(help="Series UID or its beginning; else the one that fits the model.")] = "",
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Run engines on a scan and write heatmap, mask, slice scores and result.json for each."""
    from brainviewer import reading
    from brainviewer.commands.matching import match, model_at, models_at_hand
    from engines import catalog

    for key in engine:
        if key not in catalog.cards():
            raise typer.BadParameter(
                f"no engine '{key}'; there are {', '.join(catalog.cards())}", param_hint="--engine"
            )
    if len(set(engine)) < len(engine):
        raise typer.BadParameter("an engine is named twice", param_hint="--engine")
    with known_trouble():
        at_hand = [model_at(one) for one in model] if model else models_at_hand()
        studies = reading.scan([path])
        matches = [match(key, at_hand, studies, series) for key in engine]
        told = []
        for one in matches:
            told.append(_detect(one, out, device, as_json))
            study = next(study for study in studies if one.series in study.series)
            note("run", study.uid, engine=one.model.card.engine, model=one.model.card.digest)
        tell(told, as_json)


def train(
    engine: Annotated[str, typer.Argument(help="Key of the engine.")],
    cohort: Annotated[Path, typer.Argument(help="CSV file of the cohort.")],
    out: Annotated[Path, typer.Option(help="Folder for the new model.")],
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training in OUT.")] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train an engine on a cohort's train split and calibrate it on healthy val subjects."""
    from engines import BadInput, catalog, model_package, setting_values
    from engines.samples import read_cohort
    from engines.terminal import progress

    if engine not in catalog.cards():
        raise typer.BadParameter(f"no engine '{engine}'; there are {', '.join(catalog.cards())}", param_hint="ENGINE")
    try:
        chosen = setting_values.parse(catalog.settings_class(engine), settings or [])
    except BadInput as error:
        raise typer.BadParameter(str(error), param_hint="--set") from error
    with known_trouble():
        table = read_cohort(cohort)
        with progress() as report:
            fit = catalog.engine_class(engine).fit
            folder = fit(table, out, chosen, device=device, resume=resume, report=report)
        tell(_model_facts(folder, model_package.verify(folder)), as_json)


def calibrate(
    model: Annotated[str, typer.Argument(help="Model folder or name.")],
    cohort: Annotated[Path, typer.Option(help="CSV file; its healthy val subjects are measured.")],
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure a model's healthy percentiles anew on the healthy val subjects of a cohort."""
    from brainviewer.commands.matching import model_at
    from engines import catalog, model_package
    from engines.samples import read_cohort
    from engines.terminal import progress

    with known_trouble():
        found = _not_bundled(model_at(model))
        fitting = _fitting(read_cohort(cohort), found.card.modality)
        with progress() as report:
            catalog.engine_class(found.card.engine).calibrate(found.folder, fitting, device=device, report=report)
        tell(_model_facts(found.folder, model_package.verify(found.folder)), as_json)


def evaluate(
    model: Annotated[list[str], typer.Argument(help="Model folders or names.")],
    cohort: Annotated[Path, typer.Option(help="CSV file of the cohort.")],
    out: Annotated[Path, typer.Option(help="Folder for figures and tables.")],
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Which subjects to judge on.")] = "test",
    into_card: Annotated[
        bool, typer.Option("--into-card", help="Also store the figures in each model's card.")
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure models on held-out subjects beside plain baselines, with intervals by subject."""
    from brainviewer.commands import evaluation_page
    from brainviewer.commands.matching import model_at
    from engines import evaluation_report, model_package
    from engines.evaluation import evaluate as measure
    from engines.samples import read_cohort
    from engines.terminal import progress

    command = f"brainviewer evaluate MODEL --cohort {cohort.name} --split {split} --out OUT"
    with known_trouble():
        found = [model_at(one) for one in model]
        table = read_cohort(cohort).select(split=split)
        with progress() as report:
            measured = [
                measure(one.folder, _fitting(table, one.card.modality), device=device, report=report) for one in found
            ]
        evaluation_report.write(out, measured, command)
        (out / evaluation_page.PAGE).write_text(evaluation_page.page(measured, command), encoding="utf-8")
        if into_card:
            for one, result in zip(found, measured, strict=True):
                card = one.card.model_copy(update={"metrics": result.metrics(command)})
                model_package.replace_card(one.folder, card)
        if as_json:
            tell(evaluation_report.facts(measured, command), as_json)
        else:
            typer.echo(evaluation_report.page(measured, command))


def _detect(one: Match, out: Path, device: str, quiet: bool) -> dict[str, Any]:
    from engines import catalog, results
    from engines.terminal import progress

    card = one.model.card
    with progress() as report:
        volume = _volume(one, report)
        result = catalog.create(card.engine, one.model.folder, device).detect(volume, report)
    folder = out / card.engine
    results.write(folder, result, volume)
    facts = results.summary(result, volume)
    shown = ("score", "score_percentile", "highest_slice", "mask_ml", "mask_percentile")
    return {
        "engine": card.engine,
        "model": f"{card.name} {card.version} ({card.modality or 'any images'})",
        "series": one.series.uid,
        "series_title": one.series.title,
        "series_modality": one.series.modality,
        **{name: facts[name] for name in shown},
        "seconds": round(result.provenance.seconds, 3),
        "device": result.provenance.device,
        "warnings": [*one.series.warnings, *result.provenance.warnings],
        "folder": str(folder),
        "files": sorted(facts["files"].values()) + [results.RESULT],
        "notice": facts["notice"],
    }


def _volume(one: Match, report: Report) -> Volume:
    from brainviewer import reading

    return reading.load(one.series, report)


def _fitting(cohort: Cohort, modality: str) -> Cohort:
    """The samples of the model's modality; a cohort or model that states none fits any. Raises BadCohort."""
    from dataclasses import replace

    from engines import BadCohort

    fitting = tuple(sample for sample in cohort.samples if modality in ("", sample.modality) or not sample.modality)
    if not fitting:
        there = ", ".join(sorted({sample.modality for sample in cohort.samples})) or "no volumes"
        raise BadCohort(f"{cohort.path} has no {modality} volumes for this model; it has {there}.", "Choose another.")
    return replace(cohort, samples=fitting)


def _not_bundled(model: Model) -> Model:
    from brainviewer.storage import models as stored
    from engines import BadInput

    if stored.is_bundled(model):
        raise BadInput("A bundled model cannot be changed.", "Add a copy with `brainviewer models add` first.")
    return model


def _model_facts(folder: Path, card: Any) -> dict[str, Any]:
    return {"model": str(folder), "engine": card.engine, "digest": card.digest, "seconds": card.seconds}
