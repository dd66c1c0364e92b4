"""detect, train, calibrate, evaluate and models, as a user types them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from brainviewer.cli import app
from engines import model_package, results
from engines.samples import Cohort
from tests.engines import phantoms
from tests.engines.fake_engine import installed, make_model


@pytest.fixture(scope="module", autouse=True)
def _fake_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with installed(tmp_path_factory.mktemp("site")):
        yield


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return phantoms.write_cohort(tmp_path_factory.mktemp("phantoms"))


@pytest.fixture(scope="module")
def trained(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("fake") / "model", cohort)


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "model"))


@pytest.fixture
def scan(cohort: Cohort) -> Path:
    return cohort.select(split="test", label="abnormal").samples[0].volume


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def facts(*words: object) -> object:
    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_detect_writes_the_run_on_the_scans_own_grid(scan: Path, model: Path, tmp_path: Path) -> None:
    (told,) = facts("detect", scan, "--engine", "fake", "--model", model, "--out", tmp_path / "out")  # type: ignore[misc]
    assert told["folder"] == str(tmp_path / "out" / "fake")
    assert sorted(told["files"]) == sorted(path.name for path in (tmp_path / "out" / "fake").iterdir())
    original, heatmap = nibabel.load(scan), nibabel.load(tmp_path / "out" / "fake" / "heatmap.nii.gz")
    assert np.allclose(heatmap.affine, original.affine, atol=1e-4)
    assert heatmap.shape == original.shape
    assert results.read(tmp_path / "out" / "fake").score == pytest.approx(told["score"])


def test_detect_reads_back_where_the_lesion_is(model: Path, tmp_path: Path) -> None:
    phantom = phantoms.brain(seed=50, lesion=phantoms.Lesion())
    phantoms.save(tmp_path, "p", phantom)
    facts("detect", tmp_path / "p.nii.gz", "--engine", "fake", "--model", model, "--out", tmp_path / "out")
    mask = np.asarray(nibabel.load(tmp_path / "out" / "fake" / "mask.nii.gz").dataobj) > 0
    assert 2 * (mask & phantom.lesion).sum() / (mask.sum() + phantom.lesion.sum()) > 0.5


def test_a_stored_run_is_repeated_bit_for_bit(scan: Path, model: Path, tmp_path: Path) -> None:
    facts("detect", scan, "--engine", "fake", "--model", model, "--out", tmp_path / "out")
    told = facts("repeat", tmp_path / "out" / "fake", scan, "--model", model)
    assert told["identical"]  # type: ignore[call-overload]
    refused = run("repeat", tmp_path / "out" / "fake", scan)
    assert refused.exit_code == 1
    assert "not at hand" in refused.stderr


def test_a_run_that_was_tampered_with_differs_from_its_repetition(scan: Path, model: Path, tmp_path: Path) -> None:
    facts("detect", scan, "--engine", "fake", "--model", model, "--out", tmp_path / "out")
    path = tmp_path / "out" / "fake" / "heatmap.nii.gz"
    image = nibabel.load(path)
    changed = nibabel.Nifti1Image(np.asarray(image.dataobj) * 0, image.affine, image.header)
    nibabel.save(changed, path)
    told = run("repeat", tmp_path / "out" / "fake", scan, "--model", model)
    assert told.exit_code == 1
    assert "differs" in told.stdout


def test_detect_takes_an_added_model_when_none_is_named(scan: Path, model: Path, tmp_path: Path) -> None:
    refused = run("detect", scan, "--engine", "fake", "--out", tmp_path / "out")
    assert refused.exit_code == 1
    assert "no model for the engine 'fake'" in refused.stderr
    facts("models", "add", model)
    (told,) = facts("detect", scan, "--engine", "fake", "--out", tmp_path / "out")  # type: ignore[misc]
    assert told["model"] == "Brightness of phantoms 1 (FLAIR)"


def test_detect_takes_the_series_of_the_models_modality(model: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    for name in ("sub-1_T1w", "sub-1_FLAIR"):
        phantoms.save(study, name, phantoms.brain(seed=1))
    for path in study.glob("*_mask.nii.gz"):
        path.unlink()
    (told,) = facts("detect", study, "--engine", "fake", "--model", model, "--out", tmp_path / "out")  # type: ignore[misc]
    assert told["series_modality"] == "FLAIR"
    assert told["warnings"] == ["The model was calibrated on 4 healthy subjects, too few (8 needed) for a percentile "
                                "of the study's score."]  # fmt: skip


def test_detect_warns_when_the_series_is_not_what_the_model_is_made_for(model: Path, tmp_path: Path) -> None:
    phantoms.save(tmp_path, "sub-1_T1w", phantoms.brain(seed=1))
    path = tmp_path / "sub-1_T1w.nii.gz"
    (told,) = facts("detect", path, "--engine", "fake", "--model", model, "--out", tmp_path / "o")  # type: ignore[misc]
    assert "made for FLAIR, this series is T1" in " ".join(told["warnings"])


def test_detect_on_a_dicom_folder(data_dir: Path, model: Path, tmp_path: Path) -> None:
    folder = data_dir / "dicom" / "papaya"
    (told,) = facts("detect", folder, "--engine", "fake", "--model", model, "--out", tmp_path / "out")  # type: ignore[misc]
    found = results.read(tmp_path / "out" / "fake")
    assert found.heatmap.shape[2] == 20
    assert np.isfinite(found.slice_scores).any()
    assert told["series"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--engine", "nobody"], 2, "no engine 'nobody'"),
        (["--engine", "fake", "--engine", "fake"], 2, "named twice"),
        (["--engine", "fake", "--device", "tpu"], 2, "tpu"),
        ([], 2, "engine"),
        (["--engine", "fake", "--model", "nothing"], 1, "0 models are called 'nothing'"),
        (["--engine", "fake", "--series", "1.2.3"], 1, "no model"),
    ],
)
def test_detect_tells_wrong_usage_from_known_trouble(
    scan: Path, tmp_path: Path, words: list[str], status: int, said: str
) -> None:
    done = run("detect", scan, "--out", tmp_path / "out", *words)
    assert done.exit_code == status
    assert said in done.stderr
    assert "Traceback" not in done.output


def test_missing_scan_and_unknown_series_are_known_trouble(scan: Path, model: Path, tmp_path: Path) -> None:
    missing = run("detect", tmp_path / "none.nii", "--engine", "fake", "--model", model, "--out", tmp_path / "out")
    assert missing.exit_code == 1
    words = ("--engine", "fake", "--model", model, "--series", "1.2.3", "--out", tmp_path / "out")
    unknown = run("detect", scan, *words)
    assert unknown.exit_code == 1
    assert "series have the UID 1.2.3" in unknown.stderr


def test_train_then_calibrate_then_evaluate(cohort: Cohort, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    trained = facts("train", "fake", cohort.path, "--out", out, "--set", "foreground=0.25")
    assert trained["digest"] == model_package.verify(out).digest  # type: ignore[index]
    assert model_package.read_card(out).settings["foreground"] == 0.25
    facts("calibrate", out, "--cohort", cohort.path)
    measured = facts("evaluate", out, "--cohort", cohort.path, "--out", tmp_path / "eval", "--into-card")
    page = (tmp_path / "eval" / "evaluation.html").read_text()
    assert "ROC" in page
    assert page.count("<polyline") >= 6  # ROC and precision of the engine and its baselines
    assert "Research use only" in page
    names = {(row["level"], row["name"]) for row in measured["models"][0]["figures"]}  # type: ignore[index]
    assert ("slice", "AUROC") in names
    assert (tmp_path / "eval" / "README.md").is_file()
    assert model_package.verify(out).metrics


@pytest.mark.parametrize("word", ["foreground=much", "width=3", "foreground"])
def test_wrong_settings_are_wrong_usage(cohort: Cohort, tmp_path: Path, word: str) -> None:
    done = run("train", "fake", cohort.path, "--out", tmp_path / "m", "--set", word)
    assert done.exit_code == 2
    assert not (tmp_path / "m").exists()


def test_bad_cohort_is_known_trouble(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("subject,volume\n")
    done = run("train", "fake", tmp_path / "c.csv", "--out", tmp_path / "m")
    assert done.exit_code == 1
    assert "line 1: the column modality is missing" in done.stderr


def test_models_are_listed_shown_verified_and_removed(model: Path) -> None:
    assert [one for one in facts("models", "list") if one["engine"] == "fake"] == []  # type: ignore[attr-defined]
    added = facts("models", "add", model)
    digest = added["digest"]  # type: ignore[index]
    assert digest in [one["digest"] for one in facts("models", "list")]  # type: ignore[attr-defined]
    assert facts("models", "show", digest[:8])["name"] == "Brightness of phantoms"  # type: ignore[index]
    assert "# Brightness of phantoms 1" in run("models", "show", digest).stdout
    assert facts("models", "verify", digest)[0]["sound"] is True  # type: ignore[index]
    facts("models", "remove", digest)
    assert run("models", "show", digest).exit_code == 1


def test_verify_finds_the_altered_byte(model: Path) -> None:
    weights = bytearray((model / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "weights.safetensors").write_bytes(weights)
    done = run("models", "verify", model)
    assert done.exit_code == 1
    assert "weights.safetensors" in done.stderr
    assert run("models", "add", model).exit_code == 1


@pytest.mark.parametrize("words", [["detect"], ["train"], ["calibrate"], ["evaluate"], ["models"], ["models", "add"]])
def test_every_command_has_help(words: list[str]) -> None:
    done = run(*words, "--help")
    assert done.exit_code == 0
    assert "Usage" in done.stdout
