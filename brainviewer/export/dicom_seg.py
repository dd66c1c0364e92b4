"""DICOM Segmentation: the mask as binary segments, one for each finding, or the heatmap as a fractional one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainviewer.export import coding
from brainviewer.export.uids import fresh, repeatable
from engines import BadInput

if TYPE_CHECKING:
    from brainviewer.export.order import Order

BINARY_SERIES, FRACTIONAL_SERIES = 9101, 9102
# A segment is a frame stack of its own; the smaller places share the last one.
MOST_SEGMENTS = 50
FRACTIONAL_MEANING = (
    "Place of the healthy percentile on BrainViewer's scale: 0 for the 90th and less, 0.5 for the 99th, 1 for the "
    "99.9th and more. It is no probability of disease."
)


def write_binary(order: Order, folder: Path) -> None:
    """ENGINE_seg.dcm."""
    save(order, order.segmentation, folder / order.name("seg.dcm"))


def write_fractional(order: Order, folder: Path) -> None:
    """ENGINE_seg_fractional.dcm."""
    save(order, fractional(order), folder / order.name("seg_fractional.dcm"))


def tracking(order: Order, number: int) -> tuple[str, str]:
    """(Tracking ID, Tracking UID) of a finding, counted from 1; 0 is the rest of the mask."""
    what = f"finding {number}" if number else "smaller places"
    return f"{order.material.engine} {what}", str(repeatable("finding", order.uid(order.material.identity), number))


def listed(order: Order) -> int:
    """How many findings have a segment of their own."""
    return min(len(order.material.findings), MOST_SEGMENTS)


def binary(order: Order) -> Any:
    """The mask. Its union of segments is exactly the mask; segments do not overlap."""
    material = order.material
    if not material.mask.any():
        raise BadInput(
            "The mask is empty, and a DICOM segmentation cannot be: nothing lies above the threshold.",
            "Choose a lower threshold, or export the parametric map.",
        )
    own = listed(order)
    numbers = np.where(material.labels <= own, material.labels, 0).astype(np.uint8)
    rest = material.mask & (numbers == 0)
    numbers[rest] = own + 1
    segments = [_segment(order, n + 1, n + 1) for n in range(own)]
    segments += [_segment(order, own + 1, 0)] if rest.any() else []
    frames = order.images.frames(numbers)  # (slices, rows, columns)
    return _object(order, frames, "BINARY", segments, BINARY_SERIES, "Anomaly mask")


def fractional(order: Order) -> Any:
    """The heatmap on its display scale, 0 to 1 in 255 steps."""
    from brainviewer.study.percentile_scale import scale_position

    place = scale_position(order.material.percentiles)
    segment = _segment(order, 1, 0, "Anomaly heatmap", automatic=True)
    segment.SegmentDescription = FRACTIONAL_MEANING
    frames = order.images.frames(place)
    return _object(order, frames, "FRACTIONAL", [segment], FRACTIONAL_SERIES, "Anomaly heatmap")


def _segment(order: Order, segment: int, finding: int, label: str = "", automatic: bool = False) -> Any:
    from highdicom.seg import SegmentDescription

    name, uid = tracking(order, finding)
    automatic = automatic or not order.material.corrected_by
    in_brain = order.material.volume.modality in coding.BRAIN_IMAGES
    return SegmentDescription(
        segment_number=segment,
        segment_label=label or (f"Finding {finding}" if finding else "Smaller places"),
        segmented_property_category=coding.ABNORMAL,
        segmented_property_type=coding.LESION,
        algorithm_type="AUTOMATIC" if automatic else "SEMIAUTOMATIC",
        algorithm_identification=coding.algorithm(order.material),
        tracking_uid=None if label else uid,
        tracking_id=None if label else name,
        anatomic_regions=[coding.BRAIN] if in_brain else None,
    )


def _object(order: Order, frames: Any, kind: str, segments: list[Any], series: int, what: str) -> Any:
    from highdicom.seg import Segmentation

    images = order.images
    planes = images.planes()
    order.report(0, 1, f"{what} as DICOM segmentation")
    return Segmentation(
        source_images=images.images,
        pixel_array=frames,
        segmentation_type=kind,
        segment_descriptions=segments,
        series_instance_uid=fresh(),
        series_number=series,
        sop_instance_uid=fresh(),
        instance_number=1,
        content_label="ANOMALY",
        content_description=coding.RESEARCH,
        content_creator_name=creator(order),
        series_description=coding.description(order.material, what),
        specific_character_set="ISO_IR 192",
        contributing_equipment=coding.contributing(),
        **coding.equipment(),
        **planes,
    )


def creator(order: Order) -> str:
    """Content Creator's Name: the reader who corrected the mask, else the program."""
    reader = order.material.corrected_by
    if not reader:
        return coding.CREATOR
    # A name of one part ends with a caret, else it counts as one of the retired form.
    name = "Reader" if order.deidentifier is not None else reader.replace("\\", " ").replace("=", " ")[:60]
    return name if "^" in name else f"{name}^"


def save(order: Order, dataset: Any, path: Path) -> None:
    """Write an object, with a note where identities were taken out."""
    if order.deidentifier is not None:
        order.deidentifier.mark(dataset)
    dataset.save_as(path, enforce_file_format=True)
