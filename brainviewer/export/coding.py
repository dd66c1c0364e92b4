"""The codes and the identification that every DICOM object of ours carries (PS3.16, IHE AIR)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

import brainviewer
from brainviewer.export.uids import repeatable

if TYPE_CHECKING:
    from brainviewer.study.material import Material

MANUFACTURER = "BrainViewer"
MODEL_NAME = "BrainViewer"
SERIAL = "research"
CREATOR = "BrainViewer^"
RESEARCH = "Research use only; not for diagnosis."
SCHEME = "99BRAINVIEWER"
LESION = codes.SCT.Lesion
ABNORMAL = codes.SCT.MorphologicallyAbnormalStructure
BRAIN = codes.SCT.Brain
VOLUME = Code("118565006", "SCT", "Volume")
MILLILITRE = Code("ml", "UCUM", "milliliter")
PERCENT = Code("%", "UCUM", "Percent")
NO_UNITS = Code("1", "UCUM", "no units")
SIDES = {"left": codes.SCT.Left, "right": codes.SCT.Right}
PEAK = Code("healthy-percentile", SCHEME, "Highest percentile of healthy tissue")
STUDY_SCORE = Code("study-score", SCHEME, "Study score of the engine")
STUDY_PERCENTILE = Code("study-percentile", SCHEME, "Percentile among healthy studies")
THRESHOLD = Code("threshold", SCHEME, "Threshold as percentile of healthy tissue")
HEATMAP = Code("heatmap", SCHEME, "Raw heatmap value of the engine")
HEALTHY = Code("healthy-tissue", SCHEME, "Percentile of healthy tissue")
PROCEDURES = {
    "MR": Code("113091000", "SCT", "Magnetic resonance imaging"),
    "CT": Code("77477000", "SCT", "Computed tomography"),
}
IMAGING = Code("363679005", "SCT", "Imaging")
DEVICE_UID = repeatable("device", MODEL_NAME)
# Modalities of engines in which the brain is what was looked at.
BRAIN_IMAGES = frozenset({"T1", "T2", "FLAIR", "PD", "CT"})


def version() -> str:
    """The program's version, as Software Versions wants it."""
    return f"{MODEL_NAME} {brainviewer.__version__}"


def equipment() -> dict[str, Any]:
    """Who made the object: arguments common to all of highdicom's objects."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MODEL_NAME,
        "software_versions": version(),
        "device_serial_number": SERIAL,
    }


def description(material: Material, what: str) -> str:
    """Series Description: at most 64 characters."""
    return f"{what} {material.model} - RESEARCH"[:64]


def algorithm(material: Material) -> Any:
    """Algorithm Identification Sequence: the engine, its model and the model's digest."""
    import highdicom

    how = material.result.provenance
    parameters = {"digest": how.model_digest[:16], "threshold": f"p{material.threshold:g}", "device": how.device}
    return highdicom.AlgorithmIdentificationSequence(
        name=f"BrainViewer {how.engine}"[:64],
        family=codes.cid7162.ArtificialIntelligence,
        version=how.model[:64],
        source=MANUFACTURER,
        parameters=parameters,
    )


def contributing() -> list[Any]:
    """Contributing Equipment: BrainViewer as the processing software."""
    import highdicom

    return [
        highdicom.ContributingEquipment(
            manufacturer=MANUFACTURER,
            purpose_of_reference=Code("109102", "DCM", "Processing Equipment"),
            manufacturer_model_name=MODEL_NAME,
            software_versions=version(),
            contribution_description=RESEARCH,
        )
    ]


def references(images: Sequence[Dataset]) -> Sequence[Dataset]:
    """A sequence of references to images."""
    from pydicom.sequence import Sequence as Items

    items = []
    for image in images:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
        items.append(item)
    return Items(items)
