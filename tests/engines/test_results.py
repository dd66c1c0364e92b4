"""Runs on disk: on the volume's own grid, read back as they were, one clear sentence when damaged."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from engines import results
from engines.errors import BadInput
from engines.result import AnomalyResult
from engines.samples import Cohort
from tests.engines import phantoms
from tests.engines.fake_engine import FakeEngine, make_model


@pytest.fixture(scope="module")
def engine(phantom_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> FakeEngine:
    return FakeEngine(make_model(tmp_path_factory.mktemp("fake") / "model", phantom_cohort))


@pytest.fixture(scope="module")
def phantom() -> phantoms.Phantom:
    affine = phantoms.centred_affine(degrees=20.0)
    affine[0, 1] += 0.7  # a sheared grid, as a tilted gantry gives
    return phantoms.brain(seed=3, lesion=phantoms.Lesion(), affine=affine)


@pytest.fixture
def stored(tmp_path: Path, engine: FakeEngine, phantom: phantoms.Phantom) -> tuple[Path, AnomalyResult]:
    result = engine.detect(phantom.volume)
    results.write(tmp_path / "run", result, phantom.volume)
    return tmp_path / "run", result


def test_pictures_lie_where_the_volume_lies(stored: tuple[Path, AnomalyResult], phantom: phantoms.Phantom) -> None:
    folder, result = stored
    for name, expected in (("heatmap", result.heatmap), ("mask", result.mask()), ("region", result.region)):
        image = nibabel.load(folder / f"{name}.nii.gz")
        assert np.abs(image.affine - phantom.volume.affine).max() < 1e-4
        assert np.array_equal(np.asarray(image.dataobj), expected)
    assert nibabel.load(folder / "heatmap.nii.gz").get_data_dtype() == np.float32
    assert nibabel.load(folder / "mask.nii.gz").get_data_dtype() == np.uint8


def test_run_is_read_back_as_it_was(stored: tuple[Path, AnomalyResult]) -> None:
    folder, result = stored
    again = results.read(folder)
    for name in ("heatmap", "region", "slice_scores", "slice_percentiles"):
        assert np.array_equal(getattr(again, name), getattr(result, name), equal_nan=name.startswith("slice")), name
    assert np.array_equal(again.scale.values, result.scale.values)
    assert (again.score, again.threshold, again.slice_axis) == (result.score, result.threshold, result.slice_axis)
    assert np.isnan(again.score_percentile)
    assert np.isnan(result.score_percentile)
    assert again.provenance == result.provenance


def test_extras_come_back_with_the_run(stored: tuple[Path, AnomalyResult], phantom: phantoms.Phantom) -> None:
    folder, result = stored
    extras = {"all steps": result.region.astype(np.uint8) * 3, "tau": np.array([0.5, np.nan, 0.25])}
    results.write(folder, replace(result, extras=extras), phantom.volume)
    again = results.read(folder).extras
    assert np.array_equal(again["all steps"], extras["all steps"])
    assert np.array_equal(again["tau"], extras["tau"], equal_nan=True)
    stored_as = nibabel.load(folder / "extra_all_steps.nii.gz")
    assert stored_as.get_data_dtype() == np.uint8
    with pytest.raises(ValueError, match="cannot be called"):
        results.write(folder, replace(result, extras={"../out": extras["all steps"]}), phantom.volume)


def test_result_json_says_what_a_script_needs(stored: tuple[Path, AnomalyResult], phantom: phantoms.Phantom) -> None:
    folder, result = stored
    facts = json.loads((folder / "result.json").read_text())
    assert facts["schema_version"] == 1
    assert facts["engine"] == "fake"
    assert facts["score_percentile"] is None
    assert facts["mask_voxels"] == result.mask().sum()
    assert facts["mask_ml"] == pytest.approx(result.mask().sum() * np.linalg.det(phantom.volume.affine[:3, :3]) / 1000)
    assert facts["highest_slice"] == int(np.nanargmax(result.slice_scores))
    assert "Research use only" in facts["notice"]


def test_slice_scores_are_a_plain_table(stored: tuple[Path, AnomalyResult], phantom: phantoms.Phantom) -> None:
    folder, result = stored
    unscored = np.where(np.arange(len(result.slice_scores)) == 0, np.nan, result.slice_scores).astype(np.float32)
    results.write(folder, replace(result, slice_scores=unscored), phantom.volume)
    with (folder / "slice_scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["slice"] for row in rows] == [str(k) for k in range(len(result.slice_scores))]
    assert rows[0]["score"] == ""
    assert float(rows[8]["score"]) == pytest.approx(result.slice_scores[8])


def test_writing_again_replaces_the_run(stored: tuple[Path, AnomalyResult], phantom: phantoms.Phantom) -> None:
    folder, result = stored
    results.write(folder, result, phantom.volume, percentile=50.0)
    assert json.loads((folder / "result.json").read_text())["mask_percentile"] == 50.0
    assert sorted(path.name for path in folder.parent.iterdir() if "run" in path.name) == ["run"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("result.json", b""),
        ("result.json", b"[]"),
        ("result.json", b'{"schema_version": 9}'),
        ("result.json", b'{"schema_version": 1}'),
        ("heatmap.nii.gz", b"broken"),
        ("slice_scores.csv", b"slice,score\n1,2\n"),
        ("slice_scores.csv", b"slice,height,score,percentile\n1,2,x,3\n"),
    ],
)
def test_damaged_run_is_refused(stored: tuple[Path, AnomalyResult], name: str, content: bytes) -> None:
    folder, _ = stored
    (folder / name).write_bytes(content)
    with pytest.raises(BadInput, match="run"):
        results.read(folder)


def test_whole_numbers_come_back_bit_by_bit(tmp_path: Path, engine: FakeEngine, phantom: phantoms.Phantom) -> None:
    result = engine.detect(phantom.volume)
    bits = np.random.default_rng(0).integers(0, 1 << 31, phantom.volume.shape, np.uint32)
    curve = np.array([0.1, 1 / 3, np.nan])
    results.write(tmp_path / "run", replace(result, extras={"iteration masks": bits, "curve": curve}), phantom.volume)
    again = results.read(tmp_path / "run").extras
    assert again["iteration masks"].dtype == np.uint32
    assert np.array_equal(again["iteration masks"], bits)
    assert np.array_equal(again["curve"], curve, equal_nan=True)
