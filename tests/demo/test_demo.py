"""The sample study: right as DICOM, the same as NIfTI, with a lesion where it says."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

import brainviewer.demo
from brainviewer.demo import generator, scanner, tumour, writing
from brainviewer.demo.anatomy import load_template, refine
from engines import KnownError

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture
def study(sample_study: Path) -> Path:
    """The study under its short name."""
    return sample_study


def _slices(study: Path, name: str) -> list[pydicom.Dataset]:
    files = sorted((study / "dicom" / name).iterdir())
    return sorted((pydicom.dcmread(file) for file in files), key=lambda one: one.InstanceNumber)


def _nifti(study: Path, name: str) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    image = nib.load(study / "nifti" / f"{name}.nii.gz")
    return np.asarray(image.dataobj, np.float32), image.affine


def test_a_complete_study_is_kept_and_one_of_another_version_made_anew_the_same(
    sample_study: Path, tmp_path: Path
) -> None:
    study = shutil.copytree(sample_study, tmp_path / "study")
    said: list[tuple[int, int, str]] = []
    brainviewer.demo.make(study, lambda *step: said.append(step))
    assert said == []
    before = {name: _nifti(study, name)[0] for name in ("flair", "t1", "flair_lesion", "t1_lesion")}
    uid = _slices(study, "T1")[5].SOPInstanceUID

    (study / "version.txt").write_text("0")
    (study / "dicom" / "FLAIR" / "stale.dcm").touch()
    brainviewer.demo.make(study, lambda *step: said.append(step))
    assert said[-1][0] == said[-1][1]
    assert [done for done, _, _ in said] == sorted(done for done, _, _ in said)
    for name, voxels in before.items():
        np.testing.assert_array_equal(_nifti(study, name)[0], voxels)
    assert _slices(study, "T1")[5].SOPInstanceUID == uid
    assert len(list((study / "dicom" / "FLAIR").iterdir())) == generator.FLAIR_SHAPE[2]


@pytest.mark.parametrize("name", ["FLAIR", "T1"])
def test_every_file_is_a_valid_research_mr_image(study: Path, name: str) -> None:
    for one in _slices(study, name):
        assert one.PatientID == "DEMO"
        assert str(one.PatientName) == "Demo^Sample"
        assert one.Modality == "MR"
        assert one.ContentQualification == "RESEARCH"
        assert "not for diagnosis" in one.ImageComments
        assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
            assert one[keyword].value.is_valid


def test_both_series_share_study_and_frame_of_reference_only(study: Path) -> None:
    flair, t1 = _slices(study, "FLAIR"), _slices(study, "T1")
    assert {one.StudyInstanceUID for one in flair + t1} == {flair[0].StudyInstanceUID}
    assert {one.FrameOfReferenceUID for one in flair + t1} == {flair[0].FrameOfReferenceUID}
    assert flair[0].SeriesInstanceUID != t1[0].SeriesInstanceUID
    assert len({one.SOPInstanceUID for one in flair + t1}) == len(flair) + len(t1)


def test_flair_is_oblique_with_thick_slices(study: Path) -> None:
    first, second, *_ = _slices(study, "FLAIR")
    row, column = np.array(first.ImageOrientationPatient).reshape(2, 3)
    normal = np.cross(row, column)
    assert np.rad2deg(np.arccos(normal[2])) == pytest.approx(generator.TILT_DEGREES, abs=0.01)
    step = np.subtract(second.ImagePositionPatient, first.ImagePositionPatient)
    assert step @ normal == pytest.approx(generator.FLAIR_SLICE_MM, abs=1e-4)
    assert np.linalg.norm(np.cross(step, normal)) < 1e-4


@pytest.mark.parametrize("name", ["FLAIR", "T1"])
def test_dicom_and_nifti_hold_the_same_voxels_at_the_same_place(study: Path, name: str) -> None:
    slices = _slices(study, name)
    voxels, affine = _nifti(study, name.lower())
    stored = np.stack([one.pixel_array.T for one in slices], axis=2)
    np.testing.assert_array_equal(stored, voxels)
    for index in (0, len(slices) - 1):
        expected = (LPS @ affine @ [0, 0, index, 1])[:3]
        np.testing.assert_allclose(slices[index].ImagePositionPatient, expected, atol=1e-4)


def test_lesion_lies_in_the_patients_right_frontal_lobe(study: Path) -> None:
    for name in ("flair_lesion", "t1_lesion"):
        mask, affine = _nifti(study, name)
        centre = affine @ [*np.argwhere(mask > 0).mean(axis=0), 1]
        assert np.linalg.norm(centre[:3] - tumour.CENTRE_MM) < 15


def test_lesion_has_the_size_of_a_glioma_and_is_the_same_in_both_series(study: Path) -> None:
    millilitres = []
    for name in ("flair_lesion", "t1_lesion"):
        mask, affine = _nifti(study, name)
        millilitres.append(mask.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000)
    assert 30 < millilitres[0] < 120
    assert millilitres[0] == pytest.approx(millilitres[1], rel=0.05)


def test_lesion_is_bright_on_flair_and_dark_on_t1(study: Path) -> None:
    for name, brighter in (("flair", True), ("t1", False)):
        voxels, _ = _nifti(study, name)
        mask, _ = _nifti(study, f"{name}_lesion")
        mirrored = mask[:, ::-1] if name == "t1" else mask[::-1]
        mirrored = mask[:, :, ::-1] if name == "t1" else mirrored
        ratio = np.median(voxels[mask > 0]) / np.median(voxels[(mirrored > 0) & (mask == 0)])
        assert ratio > 1.4 if brighter else ratio < 0.8


def test_the_push_leaves_the_skull_alone() -> None:
    brain = load_template()
    push = np.linalg.norm(tumour.mass_effect(brain), axis=0)
    assert 4 < push.max() < 9
    outside = ~brain.inside[::2, ::2, ::2]
    outside[30:70, 20:105, 20:70] = False  # the ventricles are not outside
    assert push[outside].max() < 1.5


def test_refining_a_linear_field_is_exact() -> None:
    x, y, z = np.meshgrid(*(2.0 * np.arange(n) for n in (4, 5, 6)), indexing="ij")
    fine = refine((x + 2 * y - z).astype(np.float32), (7, 9, 11))
    i, j, k = np.meshgrid(*(np.arange(n) for n in (7, 9, 11)), indexing="ij")
    np.testing.assert_allclose(fine, i + 2 * j - k, atol=1e-5)


def test_sampling_averages_over_the_slice() -> None:
    field = np.zeros((4, 4, 40), np.float32)
    field[:, :, 20:] = 1
    grid = scanner.Grid((4, 4, 9), np.diag([1.0, 1.0, 4.0, 1.0]), 4.0)
    assert scanner.sample(field, np.eye(4), grid)[1, 1].tolist() == [
        0,
        0,
        0,
        0,
        0,
        pytest.approx(0.5, abs=0.15),
        1,
        1,
        1,
    ]


def test_uids_are_stable_and_different() -> None:
    assert writing.uid(1, "FLAIR") == writing.uid(1, "FLAIR")
    assert writing.uid(1, "FLAIR") != writing.uid(2, "FLAIR")


def test_a_folder_that_cannot_be_written_is_known_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KnownError, match="could not be written"):
        brainviewer.demo.make(tmp_path / "file" / "study")


def test_a_stopped_run_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(done: int, total: int, text: str) -> None:
        raise KnownError("Stopped.")

    with pytest.raises(KnownError):
        brainviewer.demo.make(tmp_path / "cache" / "study", stop)
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_reader_opens_it_without_warnings(study: Path) -> None:
    from brainviewer import reading

    (found,) = reading.scan([study / "dicom"])
    assert [(one.modality, one.warnings) for one in found.series] == [("FLAIR", ()), ("T1", ())]
    assert found.problems == ()
    volume = reading.load(found.series[0])
    voxels, affine = _nifti(study, "flair")
    np.testing.assert_allclose(volume.affine, affine, atol=1e-3)
    np.testing.assert_array_equal(volume.voxels, voxels)
