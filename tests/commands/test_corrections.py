"""`brainviewer corrections`: two readers correct a scan, exchange their masks and are compared."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from brainviewer.commands.corrections import corrections as app
from brainviewer.jobs import correction_exchange
from brainviewer.reading.dicom_layers import read_layers
from brainviewer.storage import corrections, runs
from brainviewer.storage.correction_journal import Journal
from brainviewer.storage.correction_records import Event, Kind
from brainviewer.storage.corrections import JOURNAL, About
from brainviewer.study import Series, Study
from brainviewer.study.correction import Correction
from brainviewer.study.mask_edit import SliceState, slice_box
from engines import BadInput
from engines import corrections as exchange
from tests.export import cases


@pytest.fixture
def scan(tmp_path: Path) -> tuple[Path, Study, Series, str]:
    """A DICOM scan and the key of a kept run on it."""
    source, key = cases.classic(tmp_path / "scan"), runs.new_key()
    study = cases.run_on(source, runs.folder(key))
    return source, study, study.series[0], key


def correct(study: Study, series: Series, run: str, reader: str, seed: int = 0) -> tuple[About, Correction]:
    """A reader draws in two slices, confirms one, and calls one healthy."""
    grid = np.zeros(series.shape, np.uint8)
    grid[4:10, 5:12, 3:7] = 1
    about = About(series.uid, study.uid, reader, series.shape, series.affine, 2, run, "sagan", "SAGAN", "ab", 99.0)
    corrections.create(about, grid)
    correction = Correction(grid, 2)
    journal = Journal(corrections.folder(about) / JOURNAL)
    random = np.random.default_rng(seed)
    drawn = np.zeros((*series.shape[:2], 2))
    drawn[5:15, 4 + int(random.integers(3)) : 14] = 1
    for edit in (
        correction.replaced("Brush", slice_box(series.shape, 2, 3, 4), drawn),
        correction.confirm(5),
        correction.reject(6),
    ):
        assert edit is not None
        correction.apply(edit)
        journal.add(Event(Kind.EDIT, edit))
    journal.close()
    return about, correction


def run(*arguments: object) -> list[dict]:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_what_was_corrected_is_listed(scan) -> None:
    _, study, series, key = scan
    about, _ = correct(study, series, key, "Dr A")
    (line,) = run("list")
    assert line["key"] == about.key
    assert line["reader"] == "Dr A"
    assert (line["corrected"], line["confirmed"], line["rejected_healthy"], line["steps"]) == (2, 1, 1, 3)


def test_an_export_with_its_scan_is_all_that_training_needs(scan, tmp_path: Path) -> None:
    source, study, series, key = scan
    _, correction = correct(study, series, key, "Dr A")
    run("export", "--out", tmp_path / "out", "--study", source, "--with-scan")
    (found,) = exchange.read(tmp_path / "out")
    assert np.array_equal(found.mask, correction.mask > 0)
    assert np.array_equal(found.automatic, correction.automatic > 0)
    assert found.states[3:7] == ("corrected", "corrected", "confirmed", "rejected-healthy")
    assert found.volume().voxels.shape == series.shape
    assert "Jane" not in "".join(path.name for path in (tmp_path / "out").iterdir())
    assert "Jane" not in (tmp_path / "out" / f"{found.name}.json").read_text()


def test_a_segmentation_is_semiautomatic_names_the_reader_and_holds_the_corrected_mask(scan, tmp_path: Path) -> None:
    source, study, series, key = scan
    _, correction = correct(study, series, key, "Reader Two")
    (told,) = run("export", "--out", tmp_path / "out", "--study", source, "--format", "dicom-seg")
    (path,) = told["files"]
    dataset = dcmread(path)
    assert {str(item.SegmentAlgorithmType) for item in dataset.SegmentSequence} == {"SEMIAUTOMATIC"}
    assert "Reader Two" in str(dataset.ContentCreatorName)
    layers = read_layers(Path(path), series)
    assert np.array_equal(np.logical_or.reduce([layer.values > 0.5 for layer in layers]), correction.mask > 0)


@pytest.mark.parametrize("form", ["nifti", "dicom-seg"])
def test_what_one_reader_exports_another_library_takes_in(scan, tmp_path: Path, monkeypatch, form: str) -> None:
    source, study, series, key = scan
    _, correction = correct(study, series, key, "Dr A")
    (told,) = run("export", "--out", tmp_path / "out", "--study", source, "--format", form)
    monkeypatch.setenv("BRAINVIEWER_HOME", str(tmp_path / "elsewhere"))
    (file,) = told["files"]
    (taken,) = run("import", file, "--study", source, "--reader", "Dr B")
    (about,) = corrections.of_series(series.uid)
    found = corrections.load(corrections.folder(about)).correction
    assert np.array_equal(found.mask, correction.mask)
    if form == "nifti":
        assert taken["reader"] == "Dr A"
        assert np.array_equal(found.states, correction.states)
        assert np.array_equal(found.automatic, correction.automatic)
    else:
        assert taken["reader"] == "Dr B"
        assert found.state(3) is SliceState.CORRECTED


def test_readers_agreement(scan) -> None:
    source, study, series, key = scan
    _, one = correct(study, series, key, "Dr A", seed=0)
    _, other = correct(study, series, key, "Dr B", seed=1)
    (pair,) = run("agree", source)
    assert pair["readers"] == ["Dr A", "Dr B"]
    assert pair["slices"] == 4
    a, b = one.mask[:, :, 3:7] > 0, other.mask[:, :, 3:7] > 0
    assert pair["dice"] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
    assert 0 < pair["kappa"] <= 1
    assert pair["slice_dice"]["6"] is None


def test_trouble_is_told_in_one_line(scan, tmp_path: Path) -> None:
    source, study, series, key = scan
    assert "no such corrections" in CliRunner().invoke(app, ["export", "--out", str(tmp_path / "o")]).stderr
    assert "Fewer than two readers" in CliRunner().invoke(app, ["agree", str(source)]).stderr
    about, _ = correct(study, series, key, "Dr A")
    runs.remove(key)
    with pytest.raises(BadInput, match="not kept any more"):
        correction_exchange.export_seg(corrections.folder(about), study, tmp_path / "seg")


def test_a_mask_on_another_grid_is_refused(scan, tmp_path: Path) -> None:
    source, *_ = scan
    bad = tmp_path / "x_mask.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 3, 3), np.uint8), np.eye(4)), bad)
    result = CliRunner().invoke(app, ["import", str(bad), "--study", str(source)])
    assert result.exit_code == 1
    assert "another grid" in result.stderr
