"""ZIP and DICOMDIR: everything is found, nothing leaves the folder."""

from __future__ import annotations

import gc
import io
import os
import stat
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet

from brainviewer import reading
from brainviewer.reading import archive
from engines import BadInput, Cancelled
from tests.reading import phantoms


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return path


def series_bytes(folder: Path) -> dict[str, bytes]:
    values, affine = phantoms.phantom()
    phantoms.write_series(folder, values, affine)
    return {f"study/{path.name}": path.read_bytes() for path in folder.iterdir()}


def test_a_zipped_series_opens(tmp_path: Path, temporary: Path) -> None:
    path = zipped(tmp_path / "scan.zip", series_bytes(tmp_path / "s"))
    (study,) = reading.scan([path])
    assert study.path == path
    volume = reading.load(study.series[0])
    phantoms.assert_values_lie_where_they_belong(volume.voxels, volume.affine)
    assert all(temporary in file.parents for file in study.series[0].files)
    archive.remove_extracted()
    assert list(temporary.iterdir()) == []


def test_nifti_in_a_zip_keeps_its_name_on_the_screen_only(tmp_path: Path) -> None:
    values, affine = phantoms.phantom()
    nifti = phantoms.write_nifti(tmp_path / "Doe_FLAIR.nii.gz", values, affine).read_bytes()
    (study,) = reading.scan([zipped(tmp_path / "x.zip", {"a/Doe_FLAIR.nii.gz": nifti})])
    assert study.series[0].title == "Doe_FLAIR"
    assert study.series[0].modality == "FLAIR"
    assert "Doe" not in study.series[0].files[0].name


@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "..\\..\\evil", "C:\\evil", "\\\\server\\evil", "a/../../../evil", "a/./b/evil\0x"]
)
def test_no_name_from_an_archive_becomes_a_path(name: str, tmp_path: Path, temporary: Path) -> None:
    members = series_bytes(tmp_path / "s")
    first = next(iter(members))
    members[name] = members.pop(first)
    before = {path for path in tmp_path.rglob("*") if temporary not in path.parents}

    (study,) = reading.scan([zipped(tmp_path / "slip.zip", members)])

    assert study.series[0].shape[2] == 5  # the member itself is read, under a name of ours
    after = {path for path in tmp_path.rglob("*") if temporary not in path.parents}
    assert after - before == {tmp_path / "slip.zip"}
    assert not any("evil" in path.name for path in temporary.rglob("*"))


def test_links_and_archives_inside_are_left_alone(tmp_path: Path, temporary: Path) -> None:
    path = zipped(tmp_path / "x.zip", series_bytes(tmp_path / "s"))
    inner = zipped(tmp_path / "inner.zip", {"y": b"z"}).read_bytes()
    with zipfile.ZipFile(path, "a") as made:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, "/etc/passwd")
        made.writestr("inner.zip", inner)
    (study,) = reading.scan([path])
    assert study.problems == ()
    assert not any(found.is_symlink() for found in temporary.rglob("*"))
    assert not any(found.read_bytes() == b"z" for found in temporary.rglob("*") if found.is_file())


def test_a_bomb_is_stopped_and_cleaned_away(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "FREE_BYTES", 2**20)
    path = zipped(tmp_path / "bomb.zip", {f"z{n}": bytes(20_000_000) for n in range(3)})
    with pytest.raises(BadInput, match="expands to far more"):
        reading.scan([path])
    assert list(temporary.iterdir()) == []


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_MEMBERS", 3)
    with pytest.raises(BadInput, match="at most 3 are taken out"):
        reading.scan([zipped(tmp_path / "many.zip", {f"z{n}": b"" for n in range(4)})])


def test_a_damaged_member_costs_a_sentence(tmp_path: Path) -> None:
    members = series_bytes(tmp_path / "s")
    path = zipped(tmp_path / "x.zip", {"bad": os.urandom(4000), **members})
    data = bytearray(path.read_bytes())
    data[200:220] = bytes(20)
    path.write_bytes(data)
    (study,) = reading.scan([path])
    assert study.series[0].shape[2] == 5
    assert study.problems == ("bad is damaged: its packed data cannot be read (BadZipFile).",)


def test_stopping_while_unpacking_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    path = zipped(tmp_path / "x.zip", series_bytes(tmp_path / "s"))

    def stop(done: int, _total: int, text: str) -> None:
        if text == "Unpacking" and done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        reading.scan([path], stop)
    assert list(temporary.iterdir()) == []


def test_folders_of_a_killed_process_are_removed_later(tmp_path: Path, temporary: Path) -> None:
    abandoned = temporary / f"{archive.PREFIX}999999999-abc"
    abandoned.mkdir()
    (abandoned / "f").write_bytes(b"patient")
    reading.scan([zipped(tmp_path / "x.zip", series_bytes(tmp_path / "s"))])
    assert not abandoned.exists()
    archive.remove_extracted()


def disc(tmp_path: Path) -> Path:
    values, affine = phantoms.phantom()

    def complete(dataset: Dataset, _k: int) -> None:
        dataset.StudyTime, dataset.StudyID = "120000", "1"

    folder = phantoms.write_series(tmp_path / "s", values, affine, complete)
    files = FileSet()
    for path in folder.iterdir():
        files.add(path)
    files.write(tmp_path / "disc")
    with warnings.catch_warnings():  # pydicom leaves its temporary folder to the garbage collector
        warnings.simplefilter("ignore", ResourceWarning)
        del files
        gc.collect()
    return tmp_path / "disc"


def test_dicomdir_opens_what_it_names_and_so_does_its_folder(tmp_path: Path) -> None:
    folder = disc(tmp_path)
    for path in (folder / "DICOMDIR", folder):
        (study,) = reading.scan([path])
        volume = reading.load(study.series[0])
        phantoms.assert_values_lie_where_they_belong(volume.voxels, volume.affine)
        assert study.problems == ()


def test_dicomdir_says_what_is_missing_and_never_leaves_its_folder(tmp_path: Path) -> None:
    folder = disc(tmp_path)
    outside = sorted((tmp_path / "s").iterdir())[0]
    inside = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "DICOMDIR")
    inside[0].unlink()
    (inside[1].parent / inside[1].name).unlink()
    inside[1].symlink_to(outside)
    (study,) = reading.scan([folder / "DICOMDIR"])
    assert study.series[0].shape[2] == 3
    assert study.problems == (
        "DICOMDIR names 1 files that are not there.",
        "DICOMDIR names 1 files outside its folder; they are not opened.",
    )


def test_a_drop_of_many(tmp_path: Path) -> None:
    values, affine = phantoms.phantom()
    dicom = phantoms.write_series(tmp_path / "s", values, affine)
    nifti = phantoms.write_nifti(tmp_path / "a_T2.nii", values, affine)
    buffer = io.BytesIO()
    phantoms.write_nifti(tmp_path / "b_T1.nii", values + 3, affine)
    buffer.write((tmp_path / "b_T1.nii").read_bytes())
    pack = zipped(tmp_path / "x.zip", {"b_T1.nii": buffer.getvalue()})
    studies = reading.scan([dicom, nifti, pack, tmp_path / "gone"])
    assert sorted(series.modality for study in studies for series in study.series) == ["T1", "T1", "T2"]
    assert studies[0].problems == ("gone cannot be opened: no such file or directory.",)
    assert np.shape(studies[0].series[0].affine) == (4, 4)
