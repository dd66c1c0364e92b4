"""Where the slices of one stack lie: order, gaps, tilt, and the affine. The only place that turns LPS into RAS.

Axes: i runs along a row (increasing column), j down the columns (increasing row), k along the slice normal,
increasing with the projection of ImagePositionPatient on it. Nothing is resampled: a tilted gantry becomes a
sheared affine, a missing slice an empty one, and a warning says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brainviewer.reading.dicom_headers import Frame

Vector = NDArray[np.float64]

SAME_PLACE_MM = 0.01
TILT_DEGREES = 0.5
# Positions off by more than this are said; the same limit as for a conflict of qform and sform.
POSITION_ERROR_MM = 0.1
GAP_STEPS = 1.5
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(slots=True)
class Stack:
    """Slices in order. slots: the k of each frame (a gap leaves slots empty). affine: voxel -> RAS+ mm."""

    frames: list[Frame]
    slots: list[int]
    affine: NDArray[np.float64]
    calibrated: bool = True
    warnings: list[str] = field(default_factory=list)

    @property
    def depth(self) -> int:
        """Number of slices, the empty ones included."""
        return self.slots[-1] + 1


def projections(frames: list[Frame]) -> Vector:
    """Position of each frame along the stack's normal, in mm."""
    normal = _directions(frames[0])[2]
    return np.asarray([frame.position for frame in frames], float) @ normal


def has_geometry(frame: Frame) -> bool:
    """True where the file says where the slice lies and how it is turned."""
    if not frame.position or not frame.orientation:
        return False
    row, column = frame.orientation[:3], frame.orientation[3:]
    sound = 0.9 < math.hypot(*row) < 1.1 and 0.9 < math.hypot(*column) < 1.1
    upright = abs(sum(a * b for a, b in zip(row, column, strict=True))) < 0.1
    return sound and upright and max(map(abs, frame.position)) < 1e5


def stack(frames: list[Frame]) -> Stack:
    """Order the frames of one volume, whose positions all differ, and find their affine and what is odd."""
    if not all(has_geometry(frame) for frame in frames):
        return _without_positions(frames)
    along = projections(frames)
    order = np.argsort(along, kind="stable")
    frames, along = [frames[n] for n in order], along[order]
    warnings: list[str] = []
    slots = _slots(along, warnings)
    positions = np.asarray([frame.position for frame in frames], float)
    step = _step(frames, positions, slots)
    spacing, calibrated = _pixel_spacing(frames[0], warnings)
    row, column, normal = _directions(frames[0])
    if len(frames) > 1:
        _check_tilt(step, normal, warnings)
        _check_positions(positions, slots, step, normal, warnings)
    if abs(row @ column) > 1e-3:
        warnings.append("Rows and columns are not at right angles in the file; the affine keeps what it says.")
    affine = np.eye(4)
    affine[:3] = np.column_stack([row * spacing[1], column * spacing[0], step, positions[0]])
    return Stack(frames, slots, LPS_TO_RAS @ affine, calibrated, warnings)


def _directions(frame: Frame) -> tuple[Vector, Vector, Vector]:
    row, column = np.asarray(frame.orientation[:3], float), np.asarray(frame.orientation[3:], float)
    return row, column, np.cross(row, column)


def _slots(along: Vector, warnings: list[str]) -> list[int]:
    """Number k of each slice; where whole slices are missing their slots stay empty."""
    if len(along) < 3:
        return list(range(len(along)))
    steps = np.diff(along)
    usual = float(np.median(steps))
    jumps = np.maximum(1, np.rint(steps / usual)).astype(int)
    gaps = np.flatnonzero(steps > GAP_STEPS * usual)
    missing = int((jumps[gaps] - 1).sum())
    even = np.abs(steps[gaps] - jumps[gaps] * usual) < 0.1 * usual
    if not gaps.size or not even.all() or missing > len(along):
        return list(range(len(along)))
    places = ", ".join(_gap(along, jumps, int(gap)) for gap in gaps[:5]) + (" and others" if gaps.size > 5 else "")
    noun = "slice is" if missing == 1 else "slices are"
    warnings.append(
        f"{missing} {noun} missing: {places} (usual step {usual:.2f} mm). "
        "Left empty, so that all other slices stay in their true place."
    )
    return [0, *np.cumsum(jumps).tolist()]


def _gap(along: Vector, jumps: NDArray[np.int_], gap: int) -> str:
    """Name the hole by the slice numbers as the screen counts them, from 1."""
    first = int(jumps[:gap].sum()) + 2
    last = first + int(jumps[gap]) - 2
    which = f"slice {first}" if first == last else f"slices {first} to {last}"
    return f"{which}, a gap of {along[gap + 1] - along[gap]:.2f} mm"


def _step(frames: list[Frame], positions: Vector, slots: list[int]) -> Vector:
    """From one slice to the next, in LPS mm: from the positions, never from the slice thickness."""
    if len(frames) > 1:
        return np.asarray((positions[-1] - positions[0]) / slots[-1], float)
    # One slice has no neighbour to measure to; its depth only has to be some plausible number.
    depth = frames[0].slice_step or (min(frames[0].spacing) if frames[0].spacing else 1.0)
    return _directions(frames[0])[2] * depth


def _pixel_spacing(frame: Frame, warnings: list[str]) -> tuple[tuple[float, ...], bool]:
    if frame.spacing:
        return frame.spacing, True
    warnings.append("The file gives no pixel size: millimetres are not known and 1 mm is shown.")
    return (1.0, 1.0), False


def _check_tilt(step: Vector, normal: Vector, warnings: list[str]) -> None:
    cosine = step @ normal / (np.linalg.norm(step) * np.linalg.norm(normal))
    angle = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    if angle > TILT_DEGREES:
        warnings.append(
            f"The gantry was tilted: slices are stacked {angle:.1f} degrees off their normal. "
            "Positions are right (sheared grid), the slices are not resampled."
        )


def _check_positions(positions: Vector, slots: list[int], step: Vector, normal: Vector, warnings: list[str]) -> None:
    """Compare each slice's own position with the regular grid."""
    error = positions - (positions[0] + np.outer(slots, step))
    off_along = np.abs(error @ normal)
    off_across = np.linalg.norm(error - np.outer(error @ normal, normal), axis=1)
    if off_along.max() > POSITION_ERROR_MM:
        steps = np.diff(positions @ normal) / np.diff(slots)
        warnings.append(
            f"Slices are unevenly spaced, from {steps.min():.2f} to {steps.max():.2f} mm. They are shown at "
            f"{float(np.linalg.norm(step)):.2f} mm; positions are off by up to {off_along.max():.1f} mm "
            f"(slice {slots[int(off_along.argmax())] + 1})."
        )
    if off_across.max() > POSITION_ERROR_MM:
        warnings.append(
            f"Slices are shifted sideways against each other; positions are off by up to {off_across.max():.1f} mm "
            f"(slice {slots[int(off_across.argmax())] + 1})."
        )


def _without_positions(frames: list[Frame]) -> Stack:
    """A picture, or slices in the order of their numbers with as much size as the file tells."""
    frames = sorted(frames, key=lambda frame: (frame.header.instance, frame.number))
    warnings: list[str] = []
    spacing, calibrated = _pixel_spacing(frames[0], warnings)
    depth = frames[0].slice_step or 1.0
    if len(frames) > 1:
        warnings.append(
            "The file does not say where its slices lie: they are in the order of their numbers, "
            f"{depth:.2f} mm apart, and left and right are not known."
        )
        calibrated = False
    elif frames[0].header.faces.startswith("R"):
        warnings.append("Shown as stored: the file says that the patient's right is on the right.")
    affine = LPS_TO_RAS @ np.diag([spacing[1], spacing[0], depth, 1.0])
    return Stack(frames, list(range(len(frames))), affine, calibrated, warnings)
