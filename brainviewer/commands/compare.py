"""`brainviewer compare`: several engines on one scan, with what they agree on, as a page and as tables."""

from __future__ import annotations

import base64
import csv
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brainviewer.commands.engines import AsJson, Device
from brainviewer.commands.outcome import known_trouble, tell
from brainviewer.commands.page import Figure, precision_figure, render, roc_figure, rows_shown
from brainviewer.commands.page import shown as shown_as

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from brainviewer.commands.matching import Match
    from brainviewer.study import Series
    from engines import AnomalyResult, Volume
    from engines.comparison import Pair
    from engines.findings import Finding

PAGE = "compare.html"


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """A run and its maps on the grid of the first one."""

    match: Match
    result: AnomalyResult
    percentiles: NDArray[np.float32]
    region: NDArray[np.bool_]

    @property
    def title(self) -> str:
        """The model in a few words."""
        return f"{self.match.model.card.name} {self.match.model.card.version}"


@dataclass(frozen=True, slots=True)
class _Table:
    """Rows of one kind; name: of its CSV file. note: how to read it."""

    name: str
    title: str
    note: str
    rows: list[dict[str, Any]]


def compare(
    path: Annotated[Path, typer.Argument(help="A DICOM folder, file, DICOMDIR or ZIP, a NIfTI file or a folder.")],
    engine: Annotated[list[str], typer.Option(help="Engine to run; give it several times.")],
    out: Annotated[Path, typer.Option(help="Folder for the page, the tables and each engine's results.")],
    truth: Annotated[Path | None, typer.Option(help="Drawn lesion, NIfTI or DICOM SEG, to judge the runs by.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Model folder or name; else the one that fits.")] = None,
    threshold: Annotated[float, typer.Option(min=50, max=99.99, help="Healthy percentile.")] = 99.0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Run engines on one scan and set them side by side: findings, agreement, figures against a truth."""
    from brainviewer import reading
    from brainviewer.commands.matching import match, model_at, models_at_hand

    with known_trouble():
        at_hand = [model_at(one) for one in model] if model else models_at_hand()
        studies = reading.scan([path])
        matches = [match(key, at_hand, studies) for key in dict.fromkeys(engine)]
        tell(_compare(matches, out, truth, threshold, device), as_json)


def _compare(matches: Sequence[Match], out: Path, truth: Path | None, threshold: float, device: str) -> dict[str, Any]:
    from brainviewer.study.orientation import is_oriented
    from engines import KnownError, comparison, findings

    shown, runs, failed = _detect_all(matches, out, device)
    if not runs:
        raise KnownError("No engine gave a result.", " ".join(reason for _, reason in failed))
    maps, regions = [run.percentiles for run in runs], [run.region for run in runs]
    found = findings.findings(
        maps, regions, shown.affine, threshold, calibrated=shown.calibrated, oriented=is_oriented(shown)
    )
    pairs = comparison.pairs(maps, regions, threshold)
    titles = [run.title for run in runs]
    tables = [_findings_table(found, titles), _agreement_table(pairs, titles)]
    figures = _agreement_figures(runs)
    if truth is not None:
        lesion = _lesion(matches[0].series, truth)
        tables.append(_truth_table(runs, shown, lesion, threshold))
        figures = [*_truth_figures(runs, lesion), *figures]
    for table in tables:
        _write_table(out / f"{table.name}.csv", table.rows)
    (out / PAGE).write_text(_page(shown, runs, failed, tables, figures, threshold), encoding="utf-8")
    return {
        "page": str(out / PAGE),
        "runs": titles,
        "findings": len(found),
        "failed": [engine for engine, _ in failed],
        "notice": "Research use only; not for diagnosis.",
    }


def _detect_all(matches: Sequence[Match], out: Path, device: str) -> tuple[Volume, list[_Run], list[tuple[str, str]]]:
    """Run every engine; one that fails is named and stops no other."""
    from brainviewer import reading
    from brainviewer.jobs.tasks import align, percentiles_of
    from engines import KnownError, catalog, results
    from engines.terminal import progress

    volumes = {match.series.uid: match.series for match in matches}
    loaded = {uid: reading.load(series) for uid, series in volumes.items()}
    shown = loaded[matches[0].series.uid]
    runs: list[_Run] = []
    failed: list[tuple[str, str]] = []
    for match in matches:
        card, volume = match.model.card, loaded[match.series.uid]
        try:
            with progress() as report:
                result = catalog.create(card.engine, match.model.folder, device).detect(volume, report)
        except KnownError as error:
            failed.append((card.engine, str(error)))
            continue
        results.write(out / card.engine, result, volume)
        moved = align(percentiles_of(result), result.region, volume.affine, shown.shape, shown.affine)
        runs.append(_Run(match, result, *moved))
    return shown, runs, failed


def _findings_table(found: Sequence[Finding], titles: Sequence[str]) -> _Table:
    rows = [
        {
            "run": titles[one.run],
            "volume ml": one.volume_ml,
            "peak percentile": one.peak,
            "side": one.side,
            **{f"peak {axis} mm": mm for axis, mm in zip("RAS", one.peak_mm, strict=True)},
            "also seen by": ", ".join(titles[n] for n in one.seen_by),
        }
        for one in found
    ]
    return _Table("findings", "Findings", "Connected places above the threshold, at least 0.1 ml.", rows)


def _agreement_table(pairs: Sequence[Pair], titles: Sequence[str]) -> _Table:
    note = (
        "Inside the region both scored: Dice above the threshold, Spearman's correlation, and Bland-Altman's mean "
        "difference with limits of agreement, of healthy percentiles."
    )
    rows = [
        {
            "first": titles[one.first],
            "second": titles[one.second],
            "Dice": one.dice,
            "correlation": one.correlation,
            "mean difference": one.difference,
            "lower limit": one.low,
            "upper limit": one.high,
        }
        for one in pairs
    ]
    return _Table("agreement", "Agreement", note, rows)


def _lesion(shown: Series, truth: Path) -> NDArray[np.bool_]:
    """Every mask of the file, on the grid of the series that is shown."""
    import numpy as np

    from brainviewer.reading.mask import read_masks

    masks = read_masks(truth, shown)
    lesion: NDArray[np.bool_] = np.any([mask.voxels > 0 for mask in masks], axis=0)
    return lesion


def _truth_figures(runs: Sequence[_Run], lesion: NDArray[np.bool_]) -> list[Figure]:
    """ROC and precision over recall of the voxels."""
    from engines.curves import precision_recall, roc

    roc_plot = roc_figure("ROC of the voxels")
    drawn = [roc_plot]
    for run in runs:
        known, values = lesion[run.region], run.percentiles[run.region]
        line, precision = roc(known, values), precision_recall(known, values)
        if line is not None and precision is not None:
            if len(drawn) == 1:
                drawn.append(precision_figure("Precision over recall", precision.base))
            roc_plot.add(f"{run.title}: {line.value:.3f}", line.x, line.y)
            drawn[1].add(f"{run.title}: {precision.value:.3f}", precision.x, precision.y)
    return drawn


def _agreement_figures(runs: Sequence[_Run]) -> list[Figure]:
    """Bland-Altman of every two runs."""
    from brainviewer.jobs.tasks import agreement_dots

    found = []
    maps = [run.percentiles for run in runs], [run.region for run in runs]
    for (first, second), dots in agreement_dots(*maps).items():
        title = f"{runs[first].title} - {runs[second].title}"
        figure = Figure(title, "Mean healthy percentile", "First minus second", span=(0.0, 100.0, -100.0, 100.0))
        figure.add("voxels both scored", dots.x, dots.y, dots=True)
        for name, value in (("bias", dots.bias), ("lower limit", dots.low), ("upper limit", dots.high)):
            figure.level(f"{name} {value:.1f}", min(max(value, -100.0), 100.0))
        found.append(figure)
    return found


def _truth_table(runs: Sequence[_Run], shown: Volume, lesion: NDArray[np.bool_], threshold: float) -> _Table:
    import numpy as np

    from engines.truth import judge

    rows = []
    for run in runs:
        own = run.match.series.uid == shown.uid
        scores = run.result.slice_scores if own else np.full(shown.shape[shown.slice_axis], np.nan, np.float32)
        i, j, k = (float(mm) for mm in shown.spacing_mm)
        told = judge(run.percentiles, run.region, scores, shown.slice_axis, lesion, (i, j, k), threshold)
        rows.append({"run": run.title, **{name.replace("_", " "): value for name, value in asdict(told).items()}})
    note = "Inside the region each run scored. Oracle: threshold chosen with the truth; no reader has that."
    return _Table("truth", "Against the drawn lesion", note, rows)


def _page(
    shown: Volume,
    runs: Sequence[_Run],
    failed: Sequence[tuple[str, str]],
    tables: Sequence[_Table],
    figures: Sequence[Figure],
    threshold: float,
) -> str:
    facts = [
        {
            "engine": run.match.model.card.engine,
            "model": run.title,
            "digest": run.match.model.card.digest,
            "series": run.match.series.modality or "unknown contrast",
            "score": shown_as(run.result.score),
            "seconds": f"{run.result.provenance.seconds:.1f}",
            "warnings": run.result.provenance.warnings,
            "picture": _picture(shown, run, threshold),
        }
        for run in runs
    ]
    listed = [(one.title, one.note, [*one.rows[0]] if one.rows else [], rows_shown(one.rows)) for one in tables]
    return render(
        PAGE, runs=facts, failed=failed, tables=listed, threshold=f"{threshold:g}", figures=figures,
        series=runs[0].match.series.modality or "a series of unknown contrast",
    )  # fmt: skip


def _picture(shown: Volume, run: _Run, threshold: float) -> str:
    """The three views as a data address, so that the page is one file."""
    from brainviewer.render.offscreen import save_views

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "views.png"
        save_views(shown, run.percentiles, run.region, path, threshold, (1280, 720), run.title)
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        if rows:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
