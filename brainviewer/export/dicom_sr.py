"""DICOM structured report (TID 1500): the findings with their measurements, tied to the segmentation.

It is written with its segmentation, because every finding refers to a segment. It is complete but never verified:
nobody has signed it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from brainviewer.export import coding, dicom_seg
from brainviewer.export.uids import fresh, repeatable

if TYPE_CHECKING:
    from brainviewer.export.order import Order
    from engines.findings import Finding

SERIES = 9104


def write(order: Order, folder: Path) -> None:
    """ENGINE_sr.dcm and the segmentation it refers to, ENGINE_seg.dcm."""
    dicom_seg.write_binary(order, folder)
    dicom_seg.save(order, build(order), folder / order.name("sr.dcm"))


def build(order: Order) -> Any:
    """The report of one run."""
    from highdicom.sr import Comprehensive3DSR, MeasurementReport

    order.report(0, 1, "Findings as DICOM structured report")
    kind = str(order.images.images[0].get("Modality", ""))
    groups = [_group(order, n + 1, one) for n, one in enumerate(order.material.findings[: dicom_seg.listed(order)])]
    content = MeasurementReport(
        observation_context=_observers(order),
        procedure_reported=coding.PROCEDURES.get(kind, coding.IMAGING),
        imaging_measurements=[*groups, _whole(order)],
        title=codes.DCM.ImagingMeasurementReport,
    )
    content[0].ContentSequence.append(_comment(order))
    report = Comprehensive3DSR(
        evidence=[*order.images.images, order.segmentation],
        content=content,
        series_instance_uid=fresh(),
        series_number=SERIES,
        sop_instance_uid=fresh(),
        instance_number=1,
        is_complete=True,
        is_final=False,
        is_verified=False,
        record_evidence=True,
        series_description=coding.description(order.material, "Findings"),
        specific_character_set="ISO_IR 192",
        contributing_equipment=coding.contributing(),
        **coding.equipment(),
    )
    report.PreliminaryFlag = "PRELIMINARY"
    return report


def _observers(order: Order) -> Any:
    from highdicom.sr import (
        DeviceObserverIdentifyingAttributes,
        ObservationContext,
        ObserverContext,
        PersonObserverIdentifyingAttributes,
    )

    device = DeviceObserverIdentifyingAttributes(
        uid=coding.DEVICE_UID,
        name=coding.MODEL_NAME,
        manufacturer_name=coding.MANUFACTURER,
        model_name=order.material.model[:64],
        serial_number=coding.SERIAL,
    )
    person = None
    if order.material.corrected_by:
        named = PersonObserverIdentifyingAttributes(name=dicom_seg.creator(order))
        person = ObserverContext(codes.DCM.Person, named)
    return ObservationContext(
        observer_person_context=person, observer_device_context=ObserverContext(codes.DCM.Device, device)
    )


def _algorithm(order: Order) -> Any:
    from highdicom.sr import AlgorithmIdentification

    how = order.material.result.provenance
    return AlgorithmIdentification(
        name=f"BrainViewer {how.engine}"[:64],
        version=how.model[:64],
        family=codes.cid7162.ArtificialIntelligence,
        manufacturer=coding.MANUFACTURER,
        parameters=[f"model digest {how.model_digest}", f"threshold p{order.material.threshold:g}"],
    )


def _group(order: Order, number: int, finding: Finding) -> Any:
    """TID 1411 for one finding."""
    from highdicom.sr import (
        FindingSite,
        Measurement,
        ReferencedSegment,
        SourceSeriesForSegmentation,
        TrackingIdentifier,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

    name, uid = dicom_seg.tracking(order, number)
    measured = [(coding.PEAK, finding.peak, coding.PERCENT)]
    if finding.volume_ml is not None:
        measured.insert(0, (coding.VOLUME, finding.volume_ml, coding.MILLILITRE))
    sites = None
    if order.material.volume.modality in coding.BRAIN_IMAGES:
        side = coding.SIDES.get(finding.side) if order.material.side_known else None
        sites = [FindingSite(coding.BRAIN, laterality=side)]
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=uid, identifier=name),
        referenced_segment=ReferencedSegment(
            sop_class_uid=order.segmentation.SOPClassUID,
            sop_instance_uid=order.segmentation.SOPInstanceUID,
            segment_number=number,
            source_series=SourceSeriesForSegmentation(order.images.images[0].SeriesInstanceUID),
        ),
        finding_type=coding.LESION,
        finding_category=coding.ABNORMAL,
        algorithm_id=_algorithm(order),
        finding_sites=sites,
        measurements=[Measurement(code, _decimal(value), unit) for code, value, unit in measured],
    )


def _whole(order: Order) -> Any:
    """What holds for the whole study (TID 1501): score, its percentile, the threshold, the volume of the mask."""
    from highdicom.sr import Measurement, MeasurementsAndQualitativeEvaluations, TrackingIdentifier

    material, result = order.material, order.material.result
    told: list[tuple[Code, float | None, Code]] = [
        (coding.VOLUME, material.mask_ml, coding.MILLILITRE),
        (coding.STUDY_SCORE, result.score, coding.NO_UNITS),
        (coding.STUDY_PERCENTILE, result.score_percentile, coding.PERCENT),
        (coding.THRESHOLD, material.threshold, coding.PERCENT),
    ]
    uid = repeatable("run", order.uid(material.identity))
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=uid, identifier=f"{material.engine} run"),
        algorithm_id=_algorithm(order),
        measurements=[
            Measurement(code, _decimal(value), unit)
            for code, value, unit in told
            if value is not None and math.isfinite(value)
        ],
    )


def _comment(order: Order) -> Any:
    from highdicom.sr import RelationshipTypeValues, TextContentItem

    warnings = " ".join(order.material.result.provenance.warnings)
    return TextContentItem(
        name=codes.DCM.Comment,
        value=f"{coding.RESEARCH} Not verified by anyone. {warnings}".strip(),
        relationship_type=RelationshipTypeValues.CONTAINS,
    )


def _decimal(value: float) -> float:
    """A number that a decimal string of 16 characters holds."""
    return float(f"{value:.8g}")
