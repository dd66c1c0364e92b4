"""`brainviewer compare`: engines side by side on one scan, as a page and as tables."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brainviewer.cli import app
from tests.engines import phantoms
from tests.engines.fake_engine import installed, make_model


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], Path]:
    """What the command says and writes for one engine, with a drawn truth."""
    home = tmp_path_factory.mktemp("compare")
    (home / "cohort").mkdir()
    cohort = phantoms.write_cohort(home / "cohort")
    study = home / "study"
    study.mkdir()
    phantoms.save(study, "sub-1_FLAIR", phantoms.brain(seed=5, lesion=phantoms.Lesion()))
    (truth,) = study.glob("*_mask.nii.gz")
    truth = truth.rename(home / "truth.nii.gz")
    with installed(home / "site"):
        model = make_model(home / "model", cohort)
        words = [
            "compare",
            study,
            "--engine",
            "fake",
            "--model",
            model,
            "--truth",
            truth,
            "--out",
            home / "out",
            "--json",
        ]
        done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout), home / "out"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_page_is_one_file_with_pictures_and_the_notice(compared: tuple[dict[str, object], Path]) -> None:
    told, out = compared
    page = (out / "compare.html").read_text()
    assert told["page"] == str(out / "compare.html")
    assert "Research use only" in page
    assert page.count("data:image/png;base64,") == 1
    assert "http" not in page.replace("http-equiv", "")
    assert "Brightness of phantoms" in page


def test_the_page_draws_the_curves_against_the_truth(compared: tuple[dict[str, object], Path]) -> None:
    page = (compared[1] / "compare.html").read_text()
    for title in ("ROC of the voxels", "Precision over recall"):
        assert title in page
    assert page.count("<polyline") == 2


def test_findings_and_truth_are_tables(compared: tuple[dict[str, object], Path]) -> None:
    told, out = compared
    found = rows(out / "findings.csv")
    assert len(found) == told["findings"]
    assert float(found[0]["volume ml"]) > 0.1
    (verdict,) = rows(out / "truth.csv")
    assert float(verdict["auroc"]) > 0.9
    assert verdict["lesions"] == "1"
    assert float(verdict["oracle dice"]) >= float(verdict["dice"])
    assert (out / "fake" / "result.json").exists()


def test_an_unknown_engine_is_one_sentence(tmp_path: Path) -> None:
    phantoms.save(tmp_path, "sub-1_FLAIR", phantoms.brain(seed=5))
    done = CliRunner().invoke(app, ["compare", str(tmp_path), "--engine", "nothing", "--out", str(tmp_path / "o")])
    assert done.exit_code != 0
    assert "nothing" in done.output
