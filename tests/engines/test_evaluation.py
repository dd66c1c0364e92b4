"""Evaluation on phantoms whose truth is exact: right figures, baselines beside them, files that say it all."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from engines import evaluation, evaluation_report, model_package
from engines.errors import BadCohort, Cancelled
from engines.evaluation import Evaluation, Row
from engines.files import load_mask, load_volume
from engines.samples import Cohort
from tests.engines.fake_engine import FakeEngine, make_model

pytestmark = pytest.mark.usefixtures("fake_engine_installed")


@pytest.fixture(scope="module")
def model(phantom_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("fake") / "model", phantom_cohort)


@pytest.fixture(scope="module")
def measured(model: Path, phantom_cohort: Cohort, fake_engine_installed: None) -> Evaluation:
    return evaluation.evaluate(model, phantom_cohort.select(split="test"), device="cpu")


def row(measured: Evaluation, level: str, method: str, name: str) -> Row:
    return next(one for one in measured.rows if (one.level, one.method, one.figure.name) == (level, method, name))


def test_bright_lesions_are_found_at_every_level(measured: Evaluation) -> None:
    assert row(measured, "subject", "fake", "AUROC").figure.value == 1.0
    assert row(measured, "slice", "fake", "AUROC").figure.value > 0.95
    assert row(measured, "voxel", "fake", "AUROC").figure.value > 0.95
    assert row(measured, "voxel", "fake", "Dice").figure.value > 0.6
    assert row(measured, "subject", "fake", "AUROC").figure.prevalence == pytest.approx(4 / 7)


def test_baselines_stand_beside_every_level(measured: Evaluation) -> None:
    for level in ("subject", "slice"):
        for method in (evaluation.MEAN, evaluation.BRIGHT):
            assert np.isfinite(row(measured, level, method, "AUROC").figure.value)
    assert row(measured, "slice", evaluation.MIDDLE, "AUROC").figure.value > 0.5
    assert row(measured, "voxel", "intensity", "Dice (oracle)").figure.value > 0.8
    assert not [one for one in measured.rows if (one.method, one.figure.name) == ("intensity", "Dice")]


def test_slice_figure_is_that_of_scikit_learn(measured: Evaluation, model: Path, phantom_cohort: Cohort) -> None:
    engine = FakeEngine(model)
    truth, scores = [], []
    for sample in phantom_cohort.select(split="test").samples:
        volume = load_volume(sample)
        mask = load_mask(sample, volume)
        found = engine.detect(volume).slice_scores
        labels = np.zeros(len(found), bool) if mask is None else mask.any((0, 1))
        truth.append(labels[np.isfinite(found)])
        scores.append(found[np.isfinite(found)])
    expected = roc_auc_score(np.concatenate(truth), np.concatenate(scores))
    figure = row(measured, "slice", "fake", "AUROC").figure
    assert figure.value == pytest.approx(expected, abs=1e-12)
    assert figure.low <= expected <= figure.high


def test_normal_subjects_tell_how_much_lies_above_the_threshold(measured: Evaluation) -> None:
    figure = row(measured, "voxel", "fake", "share of normal subjects above the threshold").figure
    assert figure.subjects == 3
    assert 0.001 < figure.value < 0.05


def test_subjects_without_truth_are_not_counted(model: Path, phantom_cohort: Cohort) -> None:
    unlabeled = phantom_cohort.select(split="train", label="unlabeled")
    assert evaluation.evaluate(model, unlabeled, device="cpu").rows == ()


def test_unreadable_volume_is_named_and_left_out(model: Path, phantom_cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "broken.nii.gz").write_bytes(b"broken")
    test = phantom_cohort.select(split="test")
    broken = replace(test.samples[0], subject="broken", volume=tmp_path / "broken.nii.gz")
    found = evaluation.evaluate(model, replace(test, samples=(*test.samples, broken)), device="cpu")
    assert [subject for subject, _ in found.failed] == ["broken"]
    assert len(found.judged) == 7
    assert "Left out of Brightness of phantoms: broken." in evaluation_report.page([found], "evaluate")
    with pytest.raises(BadCohort, match="No volume"):
        evaluation.evaluate(model, replace(test, samples=(broken,)), device="cpu")


def test_cancel_stops_the_evaluation(model: Path, phantom_cohort: Cohort) -> None:
    def stop(done: int, _total: int, _text: str) -> None:
        if done == 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        evaluation.evaluate(model, phantom_cohort.select(split="test"), device="cpu", report=stop)


def test_files_say_it_all(measured: Evaluation, tmp_path: Path) -> None:
    evaluation_report.write(tmp_path / "out", [measured], "brainviewer evaluate MODEL")
    facts = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert facts["cohort"]["digest"] == measured.cohort.digest
    assert facts["models"][0]["digest"] == measured.card.digest
    with (tmp_path / "out" / "figures.csv").open() as file:
        figures = list(csv.DictReader(file))
    assert len(figures) == len(measured.rows) == len(facts["models"][0]["figures"])
    with (tmp_path / "out" / "slices.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 7 * 16
    page = (tmp_path / "out" / "README.md").read_text()
    assert "chosen with the truth" in page
    assert "brainviewer evaluate MODEL" in page


def test_figures_go_into_the_card(measured: Evaluation, model: Path, tmp_path: Path) -> None:
    card = measured.card.model_copy(update={"metrics": measured.metrics("evaluate")})
    loaded = model_package.load(model)
    stored = model_package.write(tmp_path / "m", card, loaded.weights, loaded.calibration)
    assert len(stored.metrics) == len(measured.rows)
    assert "slice AUROC, fake" in (tmp_path / "m" / "README.md").read_text()
    assert model_package.verify(tmp_path / "m").metrics == stored.metrics
