"""python -m engines: the engines without the viewer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engines.__main__ import main
from engines.model_package import verify
from engines.samples import Cohort

pytestmark = pytest.mark.usefixtures("fake_engine_installed")
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def model(phantom_cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    out = tmp_path / "model"
    words = ["train", "fake", str(phantom_cohort.path), "--out", str(out), "--set", "foreground=0.3", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["engine"] == "fake"
    return out


def test_list_names_every_engine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    assert "fake" in [card["key"] for card in json.loads(capsys.readouterr().out)]
    assert main(["list"]) == 0
    assert "key: fake" in capsys.readouterr().out


def test_train_then_detect_then_bench(model: Path, phantom_cohort: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(model).settings["foreground"] == 0.3
    volume = str(phantom_cohort.samples[-1].volume)
    out = model.parent / "run"
    assert main(["detect", volume, "--model", str(model), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["engine"] == "fake"
    assert {"heatmap.nii.gz", "mask.nii.gz", "slice_scores.csv", "result.json"} <= {path.name for path in out.iterdir()}
    assert main(["bench", volume, "--model", str(model), "--repeat", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best_s"] > 0


def test_known_trouble_is_one_line_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "fake", str(tmp_path / "none.csv"), "--out", str(tmp_path / "m")]) == 1
    assert main(["train", "nobody", str(tmp_path / "none.csv"), "--out", str(tmp_path / "m")]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "no cohort file" in first
    assert "no engine called 'nobody'" in second


def test_wrong_usage_is_status_2() -> None:
    for words in ([], ["detect"], ["paint"]):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 2


def test_listing_is_quick_because_it_needs_no_torch() -> None:
    code = "import sys; from engines.__main__ import main; main(['list']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout.splitlines()[-1] == "False"
