"""DICOM: find the series in a pile of files, and load one of them as a volume."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from brainviewer.reading.dicom_file import quiet_pydicom, read_with_pixels
from brainviewer.reading.dicom_frames import PIXEL_TAGS, Values, codec_problem, decode
from brainviewer.reading.dicom_geometry import Stack, stack
from brainviewer.reading.dicom_headers import Frame, Header, read_frames
from brainviewer.reading.dicom_split import split
from brainviewer.reading.loading import Allocate, Loaded, middle_out
from brainviewer.reading.trouble import damage_reported, refuse_if_too_large
from brainviewer.study import Series, Study
from brainviewer.study.study import Affine
from engines import BadInput, Report, Volume


def scan(files: Sequence[Path], root: Path, report: Report) -> tuple[list[Study], list[str]]:
    """Studies among the files, and one sentence for each file that is not an image or cannot be read."""
    frames: list[Frame] = []
    problems: list[str] = []
    with quiet_pydicom():
        for done, path in enumerate(files):
            report(done, len(files), "Reading headers")
            try:
                frames += read_frames(path)
            except BadInput as error:
                problems += [str(error)] if error.message else []
        by_study: dict[str, dict[str, list[Frame]]] = defaultdict(lambda: defaultdict(list))
        for frame in frames:
            by_study[frame.header.study_uid][frame.header.series_uid].append(frame)
        return [_study(uid, by_series, root) for uid, by_series in by_study.items()], problems


def _study(uid: str, by_series: dict[str, list[Frame]], root: Path) -> Study:
    header = next(iter(by_series.values()))[0].header
    numbered = [(frames[0].header.series_number, one) for frames in by_series.values() for one in _series(frames)]
    title = ", ".join(part for part in (header.patient, header.study_title) if part) or "Unnamed study"
    series = tuple(one for _number, one in sorted(numbered, key=lambda item: item[0]))
    return Study(uid=uid, title=title, date=header.study_date, path=root, series=series)


def _series(frames: list[Frame]) -> list[Series]:
    """One Series for each volume that a DICOM series holds."""
    volumes = split(frames)
    return [_one_series(stack(part), warnings, n, len(volumes)) for n, (part, warnings) in enumerate(volumes)]


def _one_series(found: Stack, warnings: list[str], part: int, parts: int) -> Series:
    middle = found.frames[len(found.frames) // 2]
    header = middle.header
    warnings = [*warnings, *found.warnings, *_content_warnings(header)]
    files = [frame.header.path for frame in found.frames]
    one_file = len(set(files)) == 1
    return Series(
        uid=header.series_uid if parts == 1 else f"{header.series_uid}.{part + 1}",
        title=(header.title or header.kind or "Series") + (f" ({part + 1} of {parts})" if parts > 1 else ""),
        modality=header.modality,
        kind=header.kind,
        format="dicom",
        files=tuple(files[:1] if one_file else files),
        shape=(header.columns, header.rows, found.depth),
        affine=cast(Affine, tuple(tuple(float(value) for value in row) for row in found.affine)),
        calibrated=found.calibrated,
        window=_window(middle),
        warnings=tuple(warnings),
        options={
            "frames": tuple(frame.number for frame in found.frames),
            "slots": tuple(found.slots),
            "rescale": tuple(frame.rescale for frame in found.frames),
            "mirror": _mirror(middle),
            "pixel_bytes": max(frame.header.pixel_bytes for frame in found.frames),
        },
    )


def _content_warnings(header: Header) -> Iterator[str]:
    sentence, remedy = codec_problem(header.syntax, header.stored_range[1].bit_length())
    if sentence:
        yield f"{sentence} {remedy}"
    if header.mosaic:
        yield "This is a Siemens mosaic: all slices lie side by side in one picture, which is shown as stored."


def _mirror(frame: Frame) -> float | None:
    """MONOCHROME1 stores bright as low: mirror = lowest + highest possible value, so shown = mirror - value."""
    low, high = frame.header.stored_range
    slope, intercept = frame.rescale
    return (low + high) * slope + 2 * intercept if frame.header.inverted else None


def _window(frame: Frame) -> tuple[float, float] | None:
    mirror = _mirror(frame)
    if frame.window is None or mirror is None:
        return frame.window
    return frame.window[0], mirror - frame.window[1]


def load(series: Series, report: Report, allocate: Allocate) -> Loaded:
    """Decode all slices, the middle ones first. A slice that cannot be decoded is left empty and named."""
    slots = cast(tuple[int, ...], series.options["slots"])
    refuse_if_too_large(int(np.prod(series.shape)), f"The series {series.title}")
    voxels: NDArray[np.float32] | None = None
    filled: list[int] = []
    errors: dict[int, BadInput] = {}
    with quiet_pydicom():
        for n, values in _decoded(series, middle_out(len(slots))):
            if isinstance(values, BadInput):
                errors[n] = values
            else:
                # The first picture that decodes proves the size before the volume is allocated.
                voxels = allocate(series.shape) if voxels is None else voxels
                voxels[:, :, slots[n]] = values.T
                filled.append(slots[n])
            report(len(filled) + len(errors), len(slots), _said(slots[n], errors.get(n)))
    if voxels is None:
        raise next(iter(errors.values()))
    _fill_empty(voxels, filled)
    volume = Volume(voxels, np.asarray(series.affine, float), series.modality, series.uid, series.calibrated)
    return Loaded(volume, tuple(_said(slots[n], errors[n]) for n in sorted(errors)))


def _said(slot: int, error: BadInput | None) -> str:
    return f"Slice {slot + 1} is left empty: {error}" if error else f"Slice {slot + 1}"


def picture(series: Series, entry: int) -> Values:
    """Values of one slice, (rows, columns), for a thumbnail."""
    with quiet_pydicom():
        _n, values = next(_decoded(series, [entry]))
    if isinstance(values, BadInput):
        raise values
    return values


def _decoded(series: Series, order: list[int]) -> Iterator[tuple[int, Values | BadInput]]:
    """(entry, values as (rows, columns)) in the given order; the error instead where a frame is bad."""
    frames = cast(tuple[int, ...], series.options["frames"])
    rescale = cast(tuple[tuple[float, float], ...], series.options["rescale"])
    mirror = cast("float | None", series.options["mirror"])
    path, dataset = Path(), Dataset()
    for n in order:
        try:
            if path != series.files[n % len(series.files)]:
                # The last file's pixels are freed before the next one's are read.
                path, dataset = series.files[n % len(series.files)], Dataset()
                dataset = _open(path, cast(int, series.options["pixel_bytes"]))
            values = decode(dataset, frames[n], path)
            _check_shape(values, series, path)
        except BadInput as error:
            yield n, error
            continue
        slope, intercept = rescale[n]
        if (slope, intercept) != (1.0, 0.0):
            values *= np.float32(slope)
            values += np.float32(intercept)
        yield n, values if mirror is None else np.float32(mirror) - values


def _check_shape(values: Values, series: Series, path: Path) -> None:
    if values.shape != (series.shape[1], series.shape[0]):
        raise BadInput(f"{path.name} is damaged: its picture has another size than its header says.")


def _open(path: Path, pixel_bytes: int) -> Dataset:
    dataset = read_with_pixels(path, PIXEL_TAGS, pixel_bytes)
    with damage_reported(path, "header"):
        sentence, remedy = codec_problem(str(dataset.file_meta.TransferSyntaxUID), int(dataset.get("BitsStored", 16)))
    if sentence:
        raise BadInput(f"{path.name} cannot be shown. {sentence}", remedy)
    return dataset


def _fill_empty(voxels: NDArray[np.float32], filled: list[int]) -> None:
    """Give missing slices the lowest value of the others: black, and air in CT."""
    empty = sorted(set(range(voxels.shape[2])) - set(filled))
    if empty:
        lowest = min(float(voxels[:, :, slot].min()) for slot in filled)
        voxels[:, :, empty] = lowest
