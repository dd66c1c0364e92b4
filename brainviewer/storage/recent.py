"""Studies opened lately, newest first."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from brainviewer.storage import folders
from brainviewer.storage.files import put_aside, write_whole

MOST = 30


class RecentStudy(BaseModel):
    """One entry. thumbnail: name of a picture in the cache folder, or ""."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    path: Path
    title: str
    opened: datetime
    modality: str = ""
    series: int = 0
    thumbnail: str = ""

    @property
    def missing(self) -> bool:
        """True when the files are not where they were (moved, deleted, drive not connected)."""
        return not self.path.exists()


class RecentStudies(BaseModel):
    """The list as stored."""

    version: int = 1
    studies: tuple[RecentStudy, ...] = ()


def file() -> Path:
    """Where the list lies; it may hold titles with patient names, so only its owner may read it."""
    return folders.settings_dir() / "recent.json"


def load() -> tuple[RecentStudy, ...]:
    """The list, newest first; empty when there is none or it was damaged."""
    try:
        return RecentStudies.model_validate_json(file().read_bytes()).studies
    except OSError:
        return ()
    except ValidationError:
        put_aside(file())
        return ()


def add(path: Path, title: str, modality: str = "", series: int = 0, thumbnail: str = "") -> tuple[RecentStudy, ...]:
    """Put a study at the top of the list and store it."""
    entry = RecentStudy(
        path=path.resolve(),
        title=title,
        opened=datetime.now(UTC),
        modality=modality,
        series=series,
        thumbnail=thumbnail,
    )
    return _save((entry, *(study for study in load() if study.path != entry.path)))


def remove(path: Path) -> tuple[RecentStudy, ...]:
    """Take a study off the list."""
    return _save(tuple(study for study in load() if study.path != path))


def clear() -> tuple[RecentStudy, ...]:
    """Forget all recent studies."""
    return _save(())


def _save(studies: tuple[RecentStudy, ...]) -> tuple[RecentStudy, ...]:
    kept = studies[:MOST]
    write_whole(file(), RecentStudies(studies=kept).model_dump_json(indent=1).encode(), durable=False)
    return kept
