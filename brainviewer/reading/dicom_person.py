"""What a DICOM study says about its patient, for a report that is asked to name them."""

from __future__ import annotations

from brainviewer.reading.dicom_file import quiet_pydicom, read_header
from brainviewer.reading.dicom_values import text
from brainviewer.study import Study

ROWS = (
    ("Patient", "PatientName"),
    ("Patient ID", "PatientID"),
    ("Born", "PatientBirthDate"),
    ("Sex", "PatientSex"),
    ("Study", "StudyDescription"),
    ("Study date", "StudyDate"),
    ("Accession number", "AccessionNumber"),
    ("Referring physician", "ReferringPhysicianName"),
)
DATES = {"PatientBirthDate", "StudyDate"}


def rows_of(study: Study) -> tuple[tuple[str, str], ...]:
    """(what, value) of everything that is known."""
    series = next((one for one in study.series if one.format == "dicom"), None)
    if series is None:
        return ()
    with quiet_pydicom():
        header, _room = read_header(series.files[0], [keyword for _what, keyword in ROWS])
        found = [(what, keyword, text(header, keyword)) for what, keyword in ROWS]
    return tuple((what, _shown(keyword, value)) for what, keyword, value in found if value)


def _shown(keyword: str, value: str) -> str:
    if keyword in DATES and len(value) == 8 and value.isdigit():
        return f"{value[:4]}-{value[4:6]}-{value[6:]}"
    return value.replace("^", " ").strip()
