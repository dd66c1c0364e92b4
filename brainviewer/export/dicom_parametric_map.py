"""DICOM Parametric Map: the heatmap's raw values and its healthy percentiles, as float32, voxel for voxel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from brainviewer.export import coding
from brainviewer.export.dicom_seg import save
from brainviewer.export.uids import fresh

if TYPE_CHECKING:
    from brainviewer.export.order import Order

SERIES = 9103


def write(order: Order, folder: Path) -> None:
    """ENGINE_heatmap.dcm holds raw values, ENGINE_percentiles.dcm healthy percentiles; one series."""
    material, series = order.material, fresh()
    raw = build(order, material.result.heatmap, series, 1, "HEATMAP", coding.HEATMAP, coding.NO_UNITS)
    save(order, raw, folder / order.name("heatmap.dcm"))
    percent = build(order, material.percentiles, series, 2, "PERCENTILES", coding.HEALTHY, coding.PERCENT)
    save(order, percent, folder / order.name("percentiles.dcm"))


def build(
    order: Order, values: NDArray[np.float32], series: str, instance: int, label: str, quantity: Code, unit: Code
) -> Any:
    """One map; its stored numbers are the real-world values themselves."""
    from highdicom import VOILUTTransformation
    from highdicom.pm import ParametricMap, RealWorldValueMapping

    order.report(0, 1, "Heatmap as DICOM parametric map")
    frames = order.images.frames(values).astype(np.float32)
    low, high = float(frames.min()), float(frames.max())
    mapping = RealWorldValueMapping(
        lut_label=label,
        lut_explanation=quantity.meaning,
        unit=unit,
        value_range=(low, high if high > low else low + 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=quantity,
    )
    planes = order.images.planes()
    window = VOILUTTransformation(window_center=(low + high) / 2, window_width=max(high - low, 1e-3))
    made = ParametricMap(
        source_images=order.images.images,
        pixel_array=frames,
        series_instance_uid=series,
        series_number=SERIES,
        sop_instance_uid=fresh(),
        instance_number=instance,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[window],
        content_label=label,
        content_description=coding.RESEARCH,
        content_creator_name=coding.CREATOR,
        series_description=coding.description(order.material, "Anomaly heatmap"),
        specific_character_set="ISO_IR 192",
        contributing_equipment=coding.contributing(),
        **coding.equipment(),
        **planes,
    )
    made.Laterality = ""  # of a paired organ, which the brain is not; validators want the empty element
    return made
