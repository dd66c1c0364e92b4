"""Take apart a series that holds several volumes: other directions, other sizes, several echoes or times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable

import numpy as np

from brainviewer.reading.dicom_geometry import SAME_PLACE_MM, has_geometry, projections
from brainviewer.reading.dicom_headers import Frame, Marks

SAME_DIRECTION = 1e-3
# Marks that name a real difference; the rest (acquisition) is trusted only if it yields complete volumes.
TRUSTED_MARKS = 7


def split(frames: list[Frame]) -> list[tuple[list[Frame], list[str]]]:
    """Volumes with slices at different places, each with warnings of its own."""
    volumes: list[tuple[list[Frame], list[str]]] = []
    for alike in _groups(frames, _format).values():
        for parallel in _by_direction(alike):
            volumes += _apart(parallel)
    return volumes


def _groups(frames: list[Frame], key: Callable[[Frame], Hashable]) -> dict[Hashable, list[Frame]]:
    groups: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[key(frame)].append(frame)
    return groups


def _format(frame: Frame) -> Hashable:
    header = frame.header
    spacing = tuple(round(value, 4) for value in frame.spacing)
    # A classic picture without a place (a screen capture, a radiograph) is a series of its own; frames of a
    # multi-frame file and numbered slices of one modality stay together.
    return (header.rows, header.columns, header.samples, spacing, has_geometry(frame), _alone(frame))


def _alone(frame: Frame) -> str:
    header = frame.header
    alone = not has_geometry(frame) and header.frames == 1 and header.kind not in ("MR", "CT", "PT", "NM")
    return header.sop_uid or str(header.path) if alone or header.frames > 1 and not has_geometry(frame) else ""


def _by_direction(frames: list[Frame]) -> list[list[Frame]]:
    """Frames whose direction cosines agree; compared with a member each, so rounding has no border to fall on."""
    groups: list[list[Frame]] = []
    for frame in frames:
        for group in groups:
            if _same_direction(group[0], frame):
                group.append(frame)
                break
        else:
            groups.append([frame])
    return groups


def _same_direction(one: Frame, other: Frame) -> bool:
    if len(one.orientation) != len(other.orientation):
        return False
    return all(abs(a - b) < SAME_DIRECTION for a, b in zip(one.orientation, other.orientation, strict=True))


def _apart(frames: list[Frame]) -> list[tuple[list[Frame], list[str]]]:
    """Split where slices coincide, by the first mark that tells them apart; else drop the duplicates and say so."""
    frames, warnings = _without_copies(frames)
    if not has_geometry(frames[0]):
        return [(frames, warnings)]
    volumes = [frames]
    for mark in range(len(frames[0].marks)):
        volumes = [part for volume in volumes for part in _by_mark(volume, mark)]
    result: list[tuple[list[Frame], list[str]]] = []
    for volume in volumes:
        result += _by_rank(volume)
    return [(volume, warnings + more) for volume, more in result]


def _without_copies(frames: list[Frame]) -> tuple[list[Frame], list[str]]:
    """Drop files that are in the folder twice."""
    seen: dict[Hashable, Frame] = {}
    for frame in frames:
        seen.setdefault((frame.header.sop_uid or frame.header.path, frame.number), frame)
    copies = len(frames) - len(seen)
    said = [f"{_count(copies, 'slice is', 'slices are')} in the folder twice; the copies are left out."]
    return list(seen.values()), said if copies else []


def _places(frames: list[Frame]) -> list[int]:
    """A number for each frame, equal where slices lie at the same place."""
    along = projections(frames)
    order = np.argsort(along, kind="stable")
    new_place = np.diff(along[order], prepend=along[order[0]]) > SAME_PLACE_MM
    places = np.empty(len(frames), int)
    places[order] = np.cumsum(new_place)
    return [int(place) for place in places]


def _by_mark(frames: list[Frame], mark: int) -> list[list[Frame]]:
    places = _places(frames)
    if len(set(places)) == len(places):
        return [frames]
    parts = list(_groups(frames, lambda frame: _hashable(frame.marks, mark)).values())
    incomplete = any(len(part) * len(parts) != len(frames) for part in parts)
    # A mark that changes with every slice (a trigger time) counts slices, it does not tell volumes apart.
    mostly_single = sum(len(part) == 1 for part in parts) * 2 > len(parts) and len(set(places)) > 1
    return [frames] if mostly_single or mark >= TRUSTED_MARKS and incomplete else parts


def _hashable(marks: Marks, mark: int) -> Hashable:
    value = marks[mark]
    return value if isinstance(value, Hashable) else str(value)


def _by_rank(frames: list[Frame]) -> list[tuple[list[Frame], list[str]]]:
    """Slices still at the same place: whole repeats become volumes, single ones are duplicates and dropped."""
    places = _places(frames)
    if len(set(places)) == len(places):
        return [(frames, [])]
    ranked: dict[int, list[Frame]] = defaultdict(list)
    by_number = sorted(zip(places, frames, strict=True), key=lambda item: (item[1].header.instance, item[1].number))
    for place, frame in by_number:
        ranked[place].append(frame)
    repeats = {len(group) for group in ranked.values()}
    if len(repeats) == 1 and len(ranked) > 1:
        count = repeats.pop()
        warning = f"Each slice is there {count} times with nothing to tell them apart: split by slice number."
        return [([group[rank] for group in ranked.values()], [warning]) for rank in range(count)]
    dropped = len(frames) - len(ranked)
    warning = (
        f"{_count(dropped, 'slice lies', 'slices lie')} at the same place as another (duplicate); "
        "the one with the lowest number is kept."
    )
    return [([group[0] for group in ranked.values()], [warning])]


def _count(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
