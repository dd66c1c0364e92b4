"""`brainviewer finetune`: from exported corrections to a new model, or to the reason why the old one stays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from brainviewer.commands.finetune import finetune
from engines import corrections, model_package
from engines.corrections import CORRECTED, REJECTED, CorrectedVolume
from engines.files import load_mask, load_volume
from engines.finetuning import Figures
from engines.rasalore.engine import RasaLoreEngine
from engines.rasalore.settings import Settings
from engines.samples import Cohort
from tests.engines.phantoms import write_cohort

APP = typer.Typer()
APP.command()(finetune)

PLAN = (("normal", "train", 2), ("abnormal", "train", 2), ("normal", "val", 2), ("abnormal", "test", 1))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return write_cohort(tmp_path_factory.mktemp("cohort"), PLAN)


@pytest.fixture(scope="module")
def model(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return RasaLoreEngine.fit(cohort, tmp_path_factory.mktemp("model") / "base", Settings.tiny())


@pytest.fixture
def exported(cohort: Cohort, tmp_path: Path) -> Path:
    """A reader's outline of the test subject's lesion."""
    sample = next(one for one in cohort.samples if one.split == "test")
    volume = load_volume(sample)
    mask = load_mask(sample, volume)
    states = tuple(CORRECTED if some else REJECTED for some in mask.any((0, 1)))
    one = CorrectedVolume(
        "one", sample.subject, sample.subject, "R", mask, np.zeros_like(mask), states, 2, volume.affine,
        sample.volume, sample.modality,
    )  # fmt: skip
    corrections.write(tmp_path / "corrections", one)
    return tmp_path / "corrections"


def run(model: Path, exported: Path, cohort: Cohort, out: Path):
    words = [model, "--corrections", exported, "--cohort", cohort.path, "--out", out, "--device", "cpu", "--json"]
    return CliRunner().invoke(APP, [str(word) for word in words])


@pytest.mark.parametrize("better", [True, False])
def test_the_new_model_is_written_only_if_it_is_better(
    model: Path, exported: Path, cohort: Cohort, tmp_path: Path, monkeypatch, better: bool
) -> None:
    figures = iter([Figures(0.5, 0.5, 0.1), *[Figures(0.6 if better else 0.4, 0.5, 0.1)] * 100])
    monkeypatch.setattr("engines.rasalore.finetuning.figures", lambda *_: next(figures))
    monkeypatch.setattr("engines.rasalore.finetuning.MOST_STEPS", 3)
    result = run(model, exported, cohort, tmp_path / "new")
    told = json.loads(result.stdout)
    assert told["accepted"] is better
    assert result.exit_code == (0 if better else 1)
    assert (tmp_path / "new").exists() is better
    if better:
        assert model_package.verify(tmp_path / "new").parent == model_package.read_card(model).digest
    else:
        assert "The old model stays" in result.stderr


def test_a_scan_nobody_corrected_is_told(model: Path, cohort: Cohort, tmp_path: Path) -> None:
    result = run(model, cohort.samples[0].volume, cohort, tmp_path / "new")
    assert result.exit_code == 1
    assert "was not corrected here" in result.stderr
