"""Folders written whole or not at all, even when the program is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engines import model_package
from engines.atomic import recover, whole_folder
from engines.errors import BadInput

REPOSITORY = Path(__file__).resolve().parents[2]
WRITER = """
import sys, pathlib, numpy
from engines import model_package
from engines.model_card import ModelCard
folder = pathlib.Path(sys.argv[1])
card = ModelCard(engine="fake", name="m")
model_package.write(folder, card, {"w": numpy.zeros(200_000, numpy.float32)}, {"c": numpy.zeros(3)})
print("started", flush=True)
for step in range(100_000):
    model_package.replace_calibration(folder, {"c": numpy.full(3, float(step))})
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_writer_leaves_a_whole_model(place: Path) -> None:
    for trial in range(8):
        folder = place / "model"
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, cwd=REPOSITORY)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.01 + 0.013 * trial)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        assert model_package.verify(folder).name == "m"


def test_a_failing_block_leaves_nothing(place: Path) -> None:
    def fail() -> None:
        with whole_folder(place / "run", marker="result.json") as fresh:
            (fresh / "half.txt").write_text("x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(place.iterdir()) == []


def test_current_folder_can_be_the_target(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    (place / "mine.txt").write_text("mine")
    with whole_folder(Path(), marker="result.json") as fresh:
        (fresh / "result.json").write_text("{}")
    assert sorted(path.name for path in Path().iterdir()) == ["mine.txt", "result.json"]


def test_a_file_in_the_way_is_told(place: Path) -> None:
    (place / "run").write_text("mine")
    with pytest.raises(BadInput, match="is a file"), whole_folder(place / "run", marker="x"):
        pass


def test_recovering_an_ordinary_folder_changes_nothing(place: Path) -> None:
    (place / "run").mkdir()
    recover(place / "run")
    recover(place / "none")
    assert [path.name for path in place.iterdir()] == ["run"]
