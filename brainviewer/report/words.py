"""From contents to the values a template writes: numbers with units, sentences, no identity unless asked."""

from __future__ import annotations

import math
from typing import Any

from brainviewer.report.contents import MOST_ROWS, NOTICE, Contents, RunPart, location, peak
from brainviewer.study import Series
from brainviewer.study.orientation import describe

DASH = "-"


def values(contents: Contents) -> dict[str, Any]:
    """Everything but the figures."""
    person = contents.person
    return {
        "notice": NOTICE,
        "study": contents.study,
        "made": contents.made,
        "person": person.rows if person is not None else (),
        "impression": _lines(contents.impression),
        "notes": _lines(contents.notes),
        "threshold": ", ".join(dict.fromkeys(f"{part.material.threshold:g}" for part in contents.runs)),
        "runs": [_run(contents, number) for number in range(len(contents.runs))],
        "pairs": [_pair(contents, number) for number in range(len(contents.pairs))],
        "corrections": [
            [
                one.reader if person is not None else f"reader {_letter(contents, one.reader)}",
                one.of,
                one.began,
                str(one.steps),
                one.states,
            ]
            for one in contents.corrections
        ],
        "series": [_series(contents, one, number) for number, one in enumerate(contents.series, start=1)],
        "geometry": _geometry(contents),
        "versions": contents.versions,
    }


def _letter(contents: Contents, reader: str) -> str:
    """A, B, C for readers who are not to be named; the same letter for the same reader."""
    known = list(dict.fromkeys(one.reader for one in contents.corrections))
    return chr(ord("A") + known.index(reader) % 26)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _run(contents: Contents, number: int) -> dict[str, Any]:
    part = contents.runs[number]
    material, how = part.material, part.material.result.provenance
    shown = material.findings[:MOST_ROWS]
    return {
        "title": part.title,
        "series": material.volume.modality or "unknown contrast",
        "findings": len(material.findings),
        "volume": f"{material.mask_ml:.1f} ml"
        if material.mask_ml is not None
        else f"{int(material.mask.sum())} voxels",
        "highest": _highest(part),
        "score": _score(part),
        "rows": [_finding(contents, number, n) for n in range(len(shown))],
        "more": len(material.findings) - len(shown),
        "corrected_by": _reader(contents, part),
        "trust": " ".join(s for s in (part.intended_use, part.limits, part.calibration) if s)
        or "Its model says nothing.",
        "warnings": how.warnings,
        "digest": how.model_digest,
        "device": f"{how.device}, {how.precision}",
        "seconds": f"{how.seconds:.1f}",
    }


def _reader(contents: Contents, part: RunPart) -> str:
    name = part.material.corrected_by
    return name if not name or contents.person is not None else "a reader"


def _highest(part: RunPart) -> str:
    percentiles = part.material.result.slice_percentiles
    known = [(float(value), index) for index, value in enumerate(percentiles) if math.isfinite(value)]
    if not known:
        return DASH
    value, index = max(known)
    return f"{index + 1} (percentile {value:.1f})"


def _score(part: RunPart) -> str:
    result = part.material.result
    if not math.isfinite(result.score):
        return DASH
    rank = f" (percentile {result.score_percentile:.0f})" if math.isfinite(result.score_percentile) else ""
    return f"{result.score:.3g}{rank}"


def _finding(contents: Contents, run: int, number: int) -> list[str]:
    material = contents.runs[run].material
    one = material.findings[number]
    place = location(material, one).split(", ", 1)
    at = describe(one.peak_mm) if material.volume.calibrated else DASH
    seen = ", ".join(contents.runs[other].title for other in contents.seen_by.get((run, number), ()))
    size = f"{one.volume_ml:.2f} ml" if one.volume_ml is not None else f"{one.voxels} voxels"
    return [
        str(number + 1), size, peak(one.peak), one.side or DASH, place[1] if len(place) > 1 else DASH, at, seen or DASH,
    ]  # fmt: skip


def _pair(contents: Contents, number: int) -> list[str]:
    pair = contents.pairs[number]
    names = f"{contents.runs[pair.first].title} and {contents.runs[pair.second].title}"
    limits = f"{_number(pair.difference)} ({_number(pair.low)} to {_number(pair.high)})"
    return [names, _number(pair.dice), _number(pair.correlation), limits]


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else DASH


def _series(contents: Contents, series: Series, number: int) -> list[str]:
    # A series' title is free text of the scanner's user and may name the patient.
    title = series.title if contents.person is not None else f"series {number}"
    columns = [[series.affine[row][axis] for row in range(3)] for axis in range(3)]
    size = " x ".join(f"{math.hypot(*column):.3g}" for column in columns) if series.calibrated else "not known"
    users = [p.title for p in contents.runs if p.material.source is not None and p.material.source.series is series]
    kind = series.modality or series.kind
    return [title, kind, " x ".join(map(str, series.shape)), size, ", ".join(users) or DASH]


def _geometry(contents: Contents) -> list[str]:
    told = []
    for number, one in enumerate(contents.series, start=1):
        name = one.title if contents.person is not None else f"Series {number}"
        told += [f"{name}: {warning}" for warning in one.warnings]
    if contents.problems:
        told.append(f"{contents.problems} files of the study could not be read.")
    return list(dict.fromkeys(told))
