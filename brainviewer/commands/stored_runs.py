"""The runs a command is given: a folder that `detect` wrote, one of its engines, or a run kept in the library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engines import BadInput

if TYPE_CHECKING:
    from brainviewer.storage.corrections import About
    from brainviewer.storage.library import RunEntry, StudyEntry
    from brainviewer.study import Study

RESULT = "result.json"


@dataclass(frozen=True, slots=True)
class StoredRuns:
    """Folders of runs, and the study they were made on where it is known."""

    folders: tuple[Path, ...]
    study: Path | None


def find(reference: str, study: Path | None) -> StoredRuns:
    """The runs behind a folder or a library key; raises BadInput where there are none."""
    folder = Path(reference)
    if (folder / RESULT).is_file():
        return StoredRuns((folder,), study)
    inside = tuple(sorted(path.parent for path in folder.glob(f"*/{RESULT}")) if folder.is_dir() else ())
    if inside:
        return StoredRuns(inside, study)
    kept = _kept(reference)
    if kept is None:
        raise BadInput(
            f"{reference} holds no run.", "Name the folder that `brainviewer detect --out` wrote, or one in it."
        )
    from brainviewer.storage import runs

    return StoredRuns((runs.folder(kept[0].key),), study or kept[1].path)


def _kept(key: str) -> tuple[RunEntry, StudyEntry] | None:
    if len(key) != 32 or not set(key) <= set("0123456789abcdef"):
        return None
    from brainviewer.storage.library import Library

    library = Library()
    for entry in library.studies(only_with_runs=True, most=100_000):
        for run in library.runs(entry.uid):
            if run.key == key:
                return run, entry
    return None


def correction_of(run: Path, keys: list[str]) -> About | None:
    """The correction among these keys that was made on the run's series with the run's engine, if any."""
    from brainviewer.storage import corrections
    from engines import results

    if not keys:
        return None
    known = {about.key: about for about in corrections.everything()}
    for key in keys:
        if key not in known:
            raise BadInput(f"There is no correction '{key}'.", "See `brainviewer corrections list`.")
    how = results.read(run).provenance
    found = [known[key] for key in keys if (known[key].series, known[key].engine) == (how.volume_uid, how.engine)]
    return found[0] if found else None


def study_of(run: Path, studies: list[Study]) -> Study:
    """The study whose series the run was made on; the first one where none fits, so the error names the trouble."""
    from engines import results

    uid = results.read(run).provenance.volume_uid
    return next((one for one in studies if any(series.uid == uid for series in one.series)), studies[0])
