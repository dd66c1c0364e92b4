"""De-identification: planted identities are searched for in every exported file and in everything that is printed."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from typer.testing import CliRunner

from brainviewer import reading
from brainviewer.cli import app
from brainviewer.export import EXPORTERS
from brainviewer.export.deidentify import Deidentifier, picture_warnings
from tests.export import cases

# Every one of them planted; none may be found.
PLANTED = (
    "Zyxwick", "Quintessa", "MRN-0815-77", "19530417", "Bramblewood", "Okonkwo", "Pemberton", "555-0199",
    "ACC99321", "Hospizstrasse", "Trewlaney", "scanner-sn-4242", "1.2.840.99999.1.77", "20190307", "SECRETPRIVATE",
    "Nachname", "PERF-9",
)  # fmt: skip


def plant(dataset: Dataset, k: int) -> None:
    """Identities in every kind of element: names, texts, dates, UIDs, private ones, nested ones."""
    dataset.PatientName, dataset.PatientID = "Zyxwick^Quintessa", "MRN-0815-77"
    dataset.PatientBirthDate, dataset.PatientAge, dataset.PatientSex = "19530417", "073Y", "F"
    dataset.PatientAddress, dataset.PatientTelephoneNumbers = "Hospizstrasse 5", "555-0199"
    dataset.OtherPatientIDs, dataset.EthnicGroup = "MRN-0815-77B", "Nachname"
    dataset.InstitutionName, dataset.StationName = "Bramblewood Hospital", "PERF-9"
    dataset.ReferringPhysicianName, dataset.OperatorsName = "Okonkwo^A", "Trewlaney^B"
    dataset.PerformingPhysicianName = "Pemberton^C"
    dataset.AccessionNumber, dataset.StudyID = "ACC99321", "ACC99321"
    dataset.DeviceSerialNumber = "scanner-sn-4242"
    dataset.StudyDescription = "Brain of Zyxwick"
    dataset.SeriesDescription, dataset.ProtocolName = "FLAIR Zyxwick", "FLAIR Quintessa"
    dataset.ImageComments = "seen by Pemberton on 20190307"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = "20190307"
    dataset.AcquisitionDateTime = "20190307101112.123457"
    dataset.StudyTime = dataset.SeriesTime = "101112"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.840.99999.1.77.1", "1.2.840.99999.1.77.2"
    dataset.FrameOfReferenceUID = "1.2.840.99999.1.77.3"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.840.99999.1.77.4.{k}"
    dataset.add_new(0x00091001, "LO", "SECRETPRIVATE")
    block = dataset.private_block(0x0029, "Bramblewood private", create=True)
    block.add_new(0x10, "UT", "SECRETPRIVATE Zyxwick")
    request = Dataset()
    request.RequestedProcedureDescription, request.ScheduledProcedureStepID = "for Okonkwo", "PERF-9"
    dataset.RequestAttributesSequence = Items([request])
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = dataset.SOPClassUID, "1.2.840.99999.1.77.9"
    source.PurposeOfReferenceCodeSequence = Items([Dataset()])
    source.PurposeOfReferenceCodeSequence[0].CodeMeaning = "Localizer"
    dataset.SourceImageSequence = Items([source])
    dataset.file_meta.SourceApplicationEntityTitle = "PERF-9"


@pytest.fixture
def planted_scan(tmp_path: Path) -> Path:
    """A scan full of identities, in a folder that is called after the patient."""
    folder = tmp_path / "Zyxwick^Quintessa"
    folder.mkdir()
    return cases.classic(folder / "MRN-0815-77", change=plant)


def leaks(text: bytes) -> list[str]:
    """Planted identities in some bytes, however they are encoded or written."""
    lower = text.lower()
    found = []
    for word in PLANTED:
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            if word.lower().encode(encoding) in lower:
                found.append(word)
    return found


def contents(path: Path) -> bytes:
    """The bytes of a file as they are, and unpacked where it is packed."""
    raw = path.read_bytes()
    return raw + gzip.decompress(raw) if path.suffix == ".gz" else raw


def test_the_search_finds_what_is_there(planted_scan: Path) -> None:
    found = {word for path in planted_scan.iterdir() for word in leaks(path.read_bytes())}
    assert found == set(PLANTED)


def test_no_export_and_no_log_line_names_the_patient(
    planted_scan: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, home: Path
) -> None:
    cases.run_on(planted_scan, tmp_path / "run")
    caplog.set_level(logging.DEBUG)
    formats = [part for name in EXPORTERS for part in ("--format", name)]
    command = ["export", str(tmp_path / "run"), "--study", str(planted_scan), *formats, "--out", "OUT", "--deidentify"]
    command[command.index("OUT")] = str(tmp_path / "out")
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) > 20
    assert {path.name: found for path in files if (found := leaks(contents(path)))} == {}
    assert [word for path in files for word in leaks(str(path.relative_to(tmp_path)).encode())] == []
    assert leaks(done.output.encode()) == []
    assert leaks(caplog.text.encode()) == []
    from brainviewer.storage import audit

    assert [one.what for one in audit.entries("1.2.840.99999.1.77.1")] == ["export"]
    kept = [path for path in home.rglob("*") if path.is_file()]
    assert {path.name: found for path in kept if (found := leaks(path.read_bytes()))} == {}


def test_the_objects_still_fit_together(planted_scan: Path, tmp_path: Path) -> None:
    order = cases.order(planted_scan, tmp_path / "run", deidentify=True)
    from brainviewer import export

    export.write(order, ["dicom-images", "dicom-sr"], tmp_path / "out")
    (study,) = reading.scan([tmp_path / "out" / "images"])
    volume = reading.load(study.series[0])
    assert (volume.voxels == order.material.volume.voxels).all()
    made = dcmread(tmp_path / "out" / "sagan_seg.dcm")
    image = dcmread(tmp_path / "out" / "images" / "0001.dcm")
    uids = {dcmread(path).SOPInstanceUID for path in (tmp_path / "out" / "images").iterdir()}
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName", "StudyDate"):
        assert made[keyword].value == image[keyword].value
    for item in made.ReferencedSeriesSequence[0].ReferencedInstanceSequence:
        assert item.ReferencedSOPInstanceUID in uids
    for one in (made, image):
        assert (one.PatientIdentityRemoved, one.LongitudinalTemporalInformationModified) == ("YES", "MODIFIED")
        assert one.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert image.Rows == 20
    assert "SourceApplicationEntityTitle" not in image.file_meta


def test_left_overs_of_the_network_are_dropped() -> None:
    odd = Dataset()
    odd.add_new(0x00000002, "UI", "1.2.840.10008.5.1.4.1.1.4")
    odd.SOPInstanceUID = "1.2.3"
    assert 0x00000002 not in Deidentifier(b"key", "4711").clean(odd)


def test_dates_move_together_and_identities_stay_apart() -> None:
    one, other = Deidentifier(b"key", "4711"), Deidentifier(b"key", "4712")
    assert one.shifted("20260101") < "20260101"
    first, second = one.shifted("20260101"), one.shifted("20260131101112")
    assert (first[:6] != second[:6]) or int(second[6:8]) - int(first[6:8]) == 30
    assert second[8:] == "101112"
    assert one.shifted("about 1960") == ""
    assert one.patient != other.patient
    assert one.uid("1.2.3") == other.uid("1.2.3") != Deidentifier(b"other", "4711").uid("1.2.3")
    assert one.uid("1.2.840.10008.5.1.4.1.1.4") == "1.2.840.10008.5.1.4.1.1.4"


def test_pictures_that_may_show_a_name_are_warned_of() -> None:
    captured, scan, told = Dataset(), Dataset(), Dataset()
    captured.Modality, captured.ImageType = "OT", ["DERIVED", "SECONDARY"]
    scan.Modality, scan.ImageType = "MR", ["ORIGINAL", "PRIMARY"]
    told.BurnedInAnnotation = "YES"
    assert picture_warnings([scan]) == []
    assert "burned into" in picture_warnings([captured])[0]
    assert "burned into" in picture_warnings([told])[0]


def test_the_key_is_kept_and_private(home: Path) -> None:
    from brainviewer.storage import secret

    assert secret.key() == secret.key()
    assert (home / "data" / "deidentify.key").stat().st_mode & 0o077 == 0
