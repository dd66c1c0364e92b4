"""DICOM segmentations and parametric maps as layers on a series' own grid, placed by geometry, never by frame order.

A segmentation may leave out empty frames, reverse the slices or lie on another grid than the series: each frame says
where it lies. Its frames become a small volume of their own, which is then laid onto the series' grid; where the two
grids coincide no value is changed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from brainviewer.reading.dicom_file import quiet_pydicom
from brainviewer.reading.dicom_geometry import LPS_TO_RAS
from brainviewer.reading.dicom_values import first, numbers, text, whole
from brainviewer.reading.trouble import NotAnImage, damage_reported, refuse_if_too_large
from brainviewer.study import Series
from engines import BadInput

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
# Frames of an unevenly spaced series lie this far (in slices) from its regular grid at most.
SAME_STEP = 0.3
WHOLE_VOXEL = 0.02
SAME_DIRECTION = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Something laid over a series.

    kind: "mask" (values 0 and 1), "fraction" (0 to 1) or "map" (real-world values in `unit`).
    values: float32 (i, j, k) on the series' grid, 0 where the object says nothing.
    algorithm: who made it, for the reader to see. research: the object says that it is no clinical one.
    """

    title: str
    kind: str
    values: NDArray[np.float32]
    unit: str = ""
    algorithm: str = ""
    tracking_uid: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    number: int
    segment: int
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing: NDArray[np.float64]


def is_layer(path: Path) -> bool:
    """True for a file that read_layers reads."""
    with damage_reported(path, "header"), quiet_pydicom():
        header = dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
        return text(header, "SOPClassUID") in (SEGMENTATION, LABEL_MAP, PARAMETRIC_MAP)


def read_layers(path: Path, series: Series) -> list[Layer]:
    """One layer a segment, or one for a parametric map; raises BadInput where it does not lie in the series."""
    with quiet_pydicom():
        with damage_reported(path, "header"):
            dataset = dcmread(path)
            kind = text(dataset, "SOPClassUID")
            if kind not in (SEGMENTATION, LABEL_MAP, PARAMETRIC_MAP):
                raise NotAnImage(f"{path.name} is neither a segmentation nor a parametric map.")
            frames = _frames(dataset, path)
            refuse_if_too_large(int(np.prod(series.shape)), path.name)
        with damage_reported(path, "pixel data"):
            return _layers(dataset, kind, frames, _pixels(dataset, frames), series, path)


def _layers(
    dataset: Dataset, kind: str, frames: list[_Frame], pixels: NDArray[np.float32], series: Series, path: Path
) -> list[Layer]:
    if kind == PARAMETRIC_MAP:
        mapped = first(_shared(dataset), "RealWorldValueMappingSequence") or Dataset()
        unit = text(first(mapped, "MeasurementUnitsCodeSequence") or Dataset(), "CodeValue")
        title = text(dataset, "ContentLabel") or "Parametric map"
        return [Layer(title, "map", _lay(frames, pixels, series, path), unit, text(dataset, "SeriesDescription"))]
    return _segments(dataset, frames, pixels, series, path)


def _segments(
    dataset: Dataset, frames: list[_Frame], pixels: NDArray[np.float32], series: Series, path: Path
) -> list[Layer]:
    layers = []
    by_segment: dict[int, list[_Frame]] = defaultdict(list)
    for frame in frames:
        by_segment[frame.segment].append(frame)
    fraction = text(dataset, "SegmentationType") == "FRACTIONAL"
    for item in dataset.get("SegmentSequence") or ():
        number = whole(item, "SegmentNumber", 0)
        own = by_segment.get(number, frames if text(dataset, "SOPClassUID") == LABEL_MAP else [])
        shown = pixels if text(dataset, "SOPClassUID") != LABEL_MAP else (pixels == number).astype(np.float32)
        values = _lay(own, shown, series, path) if own else np.zeros(series.shape, np.float32, order="F")
        layers.append(
            Layer(
                text(item, "SegmentLabel") or f"Segment {number}",
                "fraction" if fraction else "mask",
                values,
                algorithm=text(item, "SegmentAlgorithmName") or text(item, "SegmentAlgorithmType"),
                tracking_uid=text(item, "TrackingUID"),
            )
        )
    return layers


def _shared(dataset: Dataset) -> Dataset:
    return first(dataset, "SharedFunctionalGroupsSequence") or Dataset()


def _frames(dataset: Dataset, path: Path) -> list[_Frame]:
    shared, groups = _shared(dataset), dataset.get("PerFrameFunctionalGroupsSequence") or ()
    if len(groups) != whole(dataset, "NumberOfFrames", 0) or not len(groups):
        raise BadInput(f"{path.name} is damaged: it does not describe all of its frames.")
    found = []
    for number, group in enumerate(groups):
        place = _find(group, shared, "PlanePositionSequence", "ImagePositionPatient", 3, path)
        facing = _find(group, shared, "PlaneOrientationSequence", "ImageOrientationPatient", 6, path)
        size = _find(group, shared, "PixelMeasuresSequence", "PixelSpacing", 2, path)
        segment = first(group, "SegmentIdentificationSequence") or first(shared, "SegmentIdentificationSequence")
        found.append(_Frame(number, whole(segment or Dataset(), "ReferencedSegmentNumber", 1), place, facing, size))
    return found


def _find(group: Dataset, shared: Dataset, sequence: str, keyword: str, count: int, path: Path) -> NDArray[np.float64]:
    for place in (group, shared):
        found = numbers(first(place, sequence) or Dataset(), keyword)
        if len(found) == count:
            return np.array(found, float)
    raise BadInput(f"{path.name} does not say where its frames lie in the patient.")


def _pixels(dataset: Dataset, frames: list[_Frame]) -> NDArray[np.float32]:
    """(frames, rows, columns), in fractions of 1 or real-world values."""
    rows, columns = whole(dataset, "Rows", 0), whole(dataset, "Columns", 0)
    if "FloatPixelData" in dataset:
        values = np.frombuffer(dataset.FloatPixelData, "<f4")
    elif "DoubleFloatPixelData" in dataset:
        values = np.frombuffer(dataset.DoubleFloatPixelData, "<f8")
    else:
        values = dataset.pixel_array
    shaped = np.asarray(values).reshape(len(frames), rows, columns).astype(np.float32)
    if text(dataset, "SegmentationType") == "FRACTIONAL":
        return shaped / np.float32(whole(dataset, "MaximumFractionalValue", 255))
    mapping = first(_shared(dataset), "RealWorldValueMappingSequence")
    slope, intercept = (numbers(mapping or Dataset(), f"RealWorldValue{word}") for word in ("Slope", "Intercept"))
    if slope and intercept and (slope[0], intercept[0]) != (1.0, 0.0):
        return shaped * np.float32(slope[0]) + np.float32(intercept[0])
    return shaped


def _lay(frames: list[_Frame], pixels: NDArray[np.float32], series: Series, path: Path) -> NDArray[np.float32]:
    """Frames of one segment or map on the grid of a series."""
    row, column = frames[0].orientation[:3], frames[0].orientation[3:]
    if any(np.abs(frame.orientation - frames[0].orientation).max() > SAME_DIRECTION for frame in frames):
        raise BadInput(f"The frames of {path.name} lie in different directions.")
    target = np.asarray(series.affine, float)
    same = _on_same_grid(frames, pixels, series.shape, target)
    if same is not None:
        return same
    step, slots = _stack(frames, np.cross(row, column), LPS_TO_RAS[:3, :3] @ target[:3, :3])
    first_frame = frames[int(np.argmin(slots))]
    refuse_if_too_large(int(np.ptp(slots) + 1) * pixels[0].size, path.name)
    grid = np.zeros((*pixels.shape[:0:-1], int(np.ptp(slots)) + 1), np.float32)  # (columns, rows, slots)
    for frame, slot in zip(frames, slots - slots.min(), strict=True):
        grid[:, :, slot] = pixels[frame.number].T
    affine = np.eye(4)
    spacing = first_frame.spacing
    affine[:3] = np.column_stack([row * spacing[1], column * spacing[0], step, first_frame.position])
    # A rim of zeros: the outermost voxels reach half a voxel beyond their middles.
    affine[:3, 3] -= affine[:3, :3].sum(axis=1)
    return _resampled(np.pad(grid, 1), LPS_TO_RAS @ affine, series.shape, target)


def _on_same_grid(
    frames: list[_Frame], pixels: NDArray[np.float32], shape: tuple[int, int, int], target: NDArray[np.float64]
) -> NDArray[np.float32] | None:
    """Values copied voxel by voxel where frames and series share their axes; None where they do not.

    Positions in real files jitter by hundredths of a voxel, and the series was read onto a regular grid: a frame
    belongs to the nearest slice.
    """
    to_voxel = np.linalg.inv(target)
    row, column, spacing = frames[0].orientation[:3], frames[0].orientation[3:], frames[0].spacing
    axes = to_voxel[:3, :3] @ LPS_TO_RAS[:3, :3] @ np.column_stack([row * spacing[1], column * spacing[0]])
    corners = np.array([to_voxel @ LPS_TO_RAS @ np.append(frame.position, 1) for frame in frames])[:, :3]
    if np.abs(axes - np.rint(axes)).max() > WHOLE_VOXEL or np.abs(corners - np.rint(corners)).max() > SAME_STEP:
        return None
    rows, columns = np.indices(pixels.shape[1:])
    offsets = np.rint(axes[:, :1]) * columns.ravel() + np.rint(axes[:, 1:]) * rows.ravel()  # (3, pixels)
    laid = np.zeros(shape, np.float32, order="F")
    for frame, corner in zip(frames, np.rint(corners), strict=True):
        voxels = (corner[:, None] + offsets).astype(int)
        inside = ((voxels >= 0) & (voxels < np.array(shape)[:, None])).all(axis=0)
        laid[tuple(voxels[:, inside])] = pixels[frame.number].ravel()[inside]
    return laid


def _stack(
    frames: list[_Frame], normal: NDArray[np.float64], series_steps: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    """(from one slot to the next in LPS mm, slot of each frame).

    The series' own step is taken where the frames lie on multiples of it (empty frames are left out, so their own
    distances may all be too long); else the smallest distance between frames.
    """
    positions = np.array([frame.position for frame in frames])
    along = (positions - positions[0]) @ normal
    steps = series_steps[:, int(np.abs(normal @ series_steps / np.linalg.norm(series_steps, axis=0)).argmax())]
    step = steps if steps @ normal > 0 else -steps
    slots = along / (step @ normal)
    if np.abs(slots - np.rint(slots)).max() > SAME_STEP:
        apart = np.diff(np.unique(np.round(along, 3)))
        step = normal * float(apart.min())
        slots = along / float(apart.min())
    return step, np.rint(slots).astype(int)


def _resampled(
    grid: NDArray[np.float32], affine: NDArray[np.float64], shape: tuple[int, int, int], target: NDArray[np.float64]
) -> NDArray[np.float32]:
    from scipy import ndimage

    to_grid = np.linalg.solve(affine, target)
    # Copied where voxels coincide, so that nothing changes in the last digit; else interpolated.
    whole_voxels = np.abs(to_grid - np.rint(to_grid)).max() < WHOLE_VOXEL
    matrix = np.rint(to_grid) if whole_voxels else to_grid
    laid: Any = ndimage.affine_transform(
        grid, matrix[:3, :3], matrix[:3, 3], shape, order=0 if whole_voxels else 1, prefilter=False
    )
    found: NDArray[Any] = np.asfortranarray(laid, np.float32)
    return found
