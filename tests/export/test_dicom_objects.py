"""DICOM objects: right by dciodvfy, read back voxel for voxel by pydicom, highdicom and the reading room."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from brainviewer import export, reading
from brainviewer.export.order import Order
from brainviewer.reading.dicom_geometry import LPS_TO_RAS
from brainviewer.reading.dicom_layers import read_layers
from engines import BadInput
from tests.export import cases


def jitter(dataset: Dataset, k: int) -> None:
    """Positions a little beside the grid, as real scanners write them."""
    dataset.ImagePositionPatient = [value + 0.05 * ((k * 7) % 3 - 1) for value in dataset.ImagePositionPatient]


SOURCES: dict[str, Callable[[Path], Path]] = {
    "oblique": cases.classic,
    "sagittal": lambda folder: cases.classic(folder, cases.SAGITTAL),
    "tilted": cases.tilted,
    "jittered": lambda folder: cases.classic(folder, change=jitter),
    "enhanced": cases.enhanced,
    "nifti": cases.nifti,
}
OBJECTS = ["dicom-sr", "dicom-seg-fractional", "parametric-map", "dicom-capture", "dicom-pdf"]


@pytest.fixture(scope="module", params=sorted(SOURCES))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Order, Path]:
    """All objects of a run on a scan of each kind."""
    folder = tmp_path_factory.mktemp(request.param)
    order = cases.order(SOURCES[request.param](folder / "scan"), folder / "run")
    order.document = lambda: b"%PDF-1.4 a report of odd length"
    export.write(order, OBJECTS, folder / "out")
    return order, folder / "out"


def complaints(path: Path) -> list[str]:
    """What dciodvfy calls an error."""
    tool = shutil.which("dciodvfy")
    if tool is None:
        pytest.skip("needs dciodvfy: apt-get install dicom3tools, or run `python3 -m installer test`")
    done = subprocess.run([tool, str(path)], capture_output=True, text=True, errors="replace")
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


def by_place(dataset: Dataset, frames: NDArray[np.generic]) -> list[tuple[NDArray[np.float64], int, Dataset]]:
    """(affine voxel (column, row) -> RAS mm, frame number, its group) of every frame, from its own header only."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    spacing = shared.PixelMeasuresSequence[0].PixelSpacing
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    found = []
    for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        affine = np.eye(4)
        affine[:3, 0], affine[:3, 1] = cosines[:3] * spacing[1], cosines[3:] * spacing[0]
        affine[:3, 3] = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        found.append((LPS_TO_RAS @ affine, number, group))
    return found


def placed(order: Order, dataset: Dataset, frames: NDArray[np.generic]) -> NDArray[np.float64]:
    """Frames on the volume's grid, each put where its header says; later frames of a voxel add up."""
    volume = order.material.volume
    laid = np.zeros(volume.shape)
    columns, rows = np.meshgrid(np.arange(frames.shape[2]), np.arange(frames.shape[1]))
    for affine, number, _group in by_place(dataset, frames):
        points = affine @ np.stack([columns.ravel(), rows.ravel(), 0 * rows.ravel(), 1 + 0 * rows.ravel()])
        voxels = np.linalg.solve(volume.affine, points)[:3]
        assert np.abs(voxels - np.rint(voxels)).max() < 0.2
        np.add.at(laid, tuple(np.rint(voxels).astype(int)), frames[number].ravel())
    return laid


def test_every_object_is_valid(exported: tuple[Order, Path]) -> None:
    paths = sorted(exported[1].rglob("*.dcm"))
    assert {path.name for path in paths} >= {"sagan_seg.dcm", "sagan_sr.dcm", "sagan_heatmap.dcm"}
    assert [(path.name, line) for path in paths for line in complaints(path)] == []


def test_the_mask_lies_where_it_belongs(exported: tuple[Order, Path]) -> None:
    order, folder = exported
    dataset = dcmread(folder / "sagan_seg.dcm")
    assert np.array_equal(placed(order, dataset, dataset.pixel_array), order.material.mask)


def test_highdicom_reads_the_findings_back(exported: tuple[Order, Path]) -> None:
    order, folder = exported
    segmentation = highdicom.seg.segread(folder / "sagan_seg.dcm")
    assert segmentation.number_of_segments == len(order.material.findings) == 2
    if "tilted" in str(folder) or "jittered" in str(folder):
        pytest.skip("highdicom's volumes can be neither sheared nor uneven")
    for number in (1, 2):
        volume = segmentation.get_volume(segment_numbers=[number], combine_segments=True, allow_missing_positions=True)
        ours = order.material.labels == number
        at = np.argwhere(volume.array > 0)
        points = LPS_TO_RAS @ volume.affine @ np.column_stack([at, np.ones(len(at))]).T
        voxels = np.linalg.solve(order.material.volume.affine, points)[:3]
        assert np.abs(voxels - np.rint(voxels)).max() < 1e-3
        assert {tuple(one) for one in np.rint(voxels).astype(int).T} == {tuple(one) for one in np.argwhere(ours)}


@pytest.mark.parametrize("name", ["heatmap", "percentiles"])
def test_the_parametric_map_holds_the_very_values(exported: tuple[Order, Path], name: str) -> None:
    order, folder = exported
    dataset = dcmread(folder / f"sagan_{name}.dcm")
    frames = dataset.pixel_array
    expected = order.material.result.heatmap if name == "heatmap" else order.material.percentiles
    assert np.array_equal(placed(order, dataset, frames).astype(np.float32), expected)
    mapping = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == ("1" if name == "heatmap" else "%")
    if "tilted" in str(folder) or "jittered" in str(folder):
        return  # highdicom's volumes can be neither sheared nor uneven
    volume = highdicom.imread(folder / f"sagan_{name}.dcm").get_volume(apply_real_world_transform=True)
    at = np.argwhere(np.ones(volume.array.shape, bool))
    points = LPS_TO_RAS @ volume.affine @ np.column_stack([at, np.ones(len(at))]).T
    voxels = np.rint(np.linalg.solve(order.material.volume.affine, points)[:3]).astype(int)
    assert np.array_equal(volume.array[tuple(at.T)], expected[tuple(voxels)])


def test_they_open_again_as_layers_of_the_series(exported: tuple[Order, Path]) -> None:
    order, folder = exported
    material = order.material
    series = order.source.series
    first, second = read_layers(folder / "sagan_seg.dcm", series)
    assert (first.title, first.kind, second.title) == ("Finding 1", "mask", "Finding 2")
    assert np.array_equal(first.values + 2 * second.values, material.labels)
    (heatmap,) = read_layers(folder / "sagan_heatmap.dcm", series)
    assert np.array_equal(heatmap.values, material.result.heatmap)
    (fraction,) = read_layers(folder / "sagan_seg_fractional.dcm", series)
    from brainviewer.study.percentile_scale import scale_position

    assert np.abs(fraction.values - scale_position(material.percentiles)).max() < 0.5 / 255 + 1e-6


def test_they_are_new_series_in_the_same_study_and_frame_of_reference(exported: tuple[Order, Path]) -> None:
    order, folder = exported
    image = order.images.images[0]
    for name in ("seg", "seg_fractional", "heatmap", "sr", "key1", "report"):
        made = dcmread(folder / f"sagan_{name}.dcm")
        assert made.StudyInstanceUID == image.StudyInstanceUID
        assert made.SeriesInstanceUID != image.SeriesInstanceUID
        assert made.PatientID == image.PatientID
        assert made.SeriesDescription.endswith("RESEARCH")
        if name in ("seg", "seg_fractional", "heatmap"):
            assert made.FrameOfReferenceUID == image.FrameOfReferenceUID
            sources = made.ReferencedSeriesSequence[0]
            assert sources.SeriesInstanceUID == image.SeriesInstanceUID
        assert any(item.Manufacturer == "BrainViewer" for item in made.ContributingEquipmentSequence)


def test_frames_name_the_image_they_were_made_from(exported: tuple[Order, Path]) -> None:
    order, folder = exported
    made = dcmread(folder / "sagan_seg.dcm")
    uids = {image.SOPInstanceUID for image in order.images.images}
    for group in made.PerFrameFunctionalGroupsSequence:
        (source,) = group.DerivationImageSequence[0].SourceImageSequence
        assert source.ReferencedSOPInstanceUID in uids


def test_the_report_measures_the_findings_and_is_not_verified(exported: tuple[Order, Path]) -> None:
    order, folder = exported
    report, made = highdicom.sr.srread(folder / "sagan_sr.dcm"), dcmread(folder / "sagan_seg.dcm")
    assert (report.VerificationFlag, report.CompletionFlag, report.PreliminaryFlag) == (
        "UNVERIFIED", "COMPLETE", "PRELIMINARY",
    )  # fmt: skip
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == 2
    for number, (group, finding) in enumerate(zip(groups, order.material.findings, strict=True), start=1):
        segment = made.SegmentSequence[number - 1]
        assert (group.tracking_uid, group.tracking_identifier) == (segment.TrackingUID, segment.TrackingID)
        measured = {one.name.value: float(one.value) for one in group.get_measurements()}
        assert measured["118565006"] == pytest.approx(finding.volume_ml)
        assert measured["healthy-percentile"] == pytest.approx(finding.peak)
        assert group.finding_type.value == "52988006"
    words = report.to_json()
    assert "not for diagnosis" in words
    assert "121007" in words  # a device observed
    assert "32b6ead1" in words  # the model's digest


def test_captures_and_documents_hold_what_was_put_in(exported: tuple[Order, Path]) -> None:
    _order, folder = exported
    picture, document = dcmread(folder / "sagan_key1.dcm"), dcmread(folder / "sagan_report.dcm")
    assert picture.pixel_array.shape == (picture.Rows, picture.Columns, 3)
    assert picture.pixel_array.max() > 200
    assert "not for diagnosis" in picture.ImageComments
    length = document.EncapsulatedDocumentLength
    assert document.EncapsulatedDocument[:length] == b"%PDF-1.4 a report of odd length"
    assert document.VerificationFlag == "UNVERIFIED"
    assert document.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert len(document.SourceInstanceSequence) >= 1


def test_tracking_uids_stay_the_same_in_a_second_export(exported: tuple[Order, Path], tmp_path: Path) -> None:
    order, folder = exported
    again = Order(order.material)
    export.write(again, ["dicom-seg"], tmp_path)
    old, new = dcmread(folder / "sagan_seg.dcm"), dcmread(tmp_path / "sagan_seg.dcm")
    assert [one.TrackingUID for one in old.SegmentSequence] == [one.TrackingUID for one in new.SegmentSequence]
    assert old.SOPInstanceUID != new.SOPInstanceUID


def test_a_corrected_mask_is_semiautomatic_and_names_its_reader(tmp_path: Path) -> None:
    source = cases.classic(tmp_path / "scan")
    study = cases.run_on(source, tmp_path / "run")
    volume = reading.load(study.series[0])
    drawn = np.zeros(volume.shape, np.uint8)
    drawn[3, 4, 5] = drawn[10:12, 3:9, 2] = 1
    from brainviewer.jobs.gathering import gather
    from tests.reading import phantoms

    path = phantoms.write_nifti(tmp_path / "mask.nii.gz", drawn, volume.affine, sform=1)
    material = gather(tmp_path / "run", study, corrected=path, reader="Roe^Richard")
    export.write(Order(material), ["dicom-sr"], tmp_path / "out")
    made = dcmread(tmp_path / "out" / "sagan_seg.dcm")
    assert {one.SegmentAlgorithmType for one in made.SegmentSequence} == {"SEMIAUTOMATIC"}
    layers = read_layers(tmp_path / "out" / "sagan_seg.dcm", study.series[0])
    assert np.array_equal(sum(layer.values for layer in layers), drawn)
    assert "Roe^Richard" in dcmread(tmp_path / "out" / "sagan_sr.dcm").to_json()
    assert complaints(tmp_path / "out" / "sagan_seg.dcm") == []
    assert complaints(tmp_path / "out" / "sagan_sr.dcm") == []


def test_one_finding_alone_can_be_reported(tmp_path: Path) -> None:
    order = cases.order(cases.classic(tmp_path / "scan"), tmp_path / "run", threshold=99.6)
    assert len(order.material.findings) == order.material.labels.max() == 1
    export.write(order, ["dicom-sr"], tmp_path / "out")
    assert complaints(tmp_path / "out" / "sagan_sr.dcm") == complaints(tmp_path / "out" / "sagan_seg.dcm") == []


def test_an_empty_mask_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    order = cases.order(cases.classic(tmp_path / "scan"), tmp_path / "run", threshold=99.99)
    with pytest.raises(BadInput, match="mask is empty"):
        export.write(order, ["nifti", "dicom-seg"], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_scan_that_is_no_dicom_gets_generated_images_that_say_so(tmp_path: Path) -> None:
    order = cases.order(cases.nifti(tmp_path / "scan"), tmp_path / "run")
    export.write(order, ["dicom-seg"], tmp_path / "out")
    assert "generated" in order.warnings[0]
    (study,) = reading.scan([tmp_path / "out" / "images"])
    volume = reading.load(study.series[0])
    ours = order.material.volume
    back = np.linalg.solve(ours.affine, volume.affine)
    assert np.abs(back - np.rint(back)).max() < 1e-4
    (layer,) = read_layers(tmp_path / "out" / "sagan_seg.dcm", study.series[0])[:1]
    inside = np.argwhere(layer.values > 0)
    voxels = np.rint((back @ np.column_stack([inside, np.ones(len(inside))]).T)[:3]).astype(int)
    assert np.array_equal(volume.voxels[tuple(inside.T)], ours.voxels[tuple(voxels)])
    assert (order.material.labels[tuple(voxels)] == 1).all()
    assert "Generated" in dcmread(tmp_path / "out" / "sagan_seg.dcm").get("StudyDescription", "Generated")
