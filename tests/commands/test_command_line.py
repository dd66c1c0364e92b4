"""The command line as a whole: what opens, what is refused, how fast help is there."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brainviewer import cli, commands

COMMANDS = ("open", "demo", "doctor", "info", "detect", "train", "calibrate", "evaluate", "models")


def _brainviewer(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "brainviewer", *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[list[Path]]:
    """Collects what would be opened: the window itself has tests of its own."""
    calls: list[list[Path]] = []
    app = type(sys)("brainviewer.app")
    app.main = lambda paths, demo=False: calls.append(paths) or 0
    monkeypatch.setitem(sys.modules, "brainviewer.app", app)
    return calls


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "brainviewer", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in loaded
    assert not loaded & {"torch", "PySide6", "vtkmodules", "nibabel", "pydicom", "scipy", "highdicom", "pynetdicom"}
    assert all(name in done.stdout for name in COMMANDS)
    assert "Research use only" in " ".join(done.stdout.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(cli.app, [name, "--help"])
    assert result.exit_code == 0


def test_version() -> None:
    assert CliRunner().invoke(cli.app, ["--version"]).output.startswith("BrainViewer ")


def test_a_path_opens(tmp_path: Path, opened: list[list[Path]]) -> None:
    scan = tmp_path / "scan.nii.gz"
    scan.touch()
    assert CliRunner().invoke(cli.app, [str(scan), str(tmp_path)]).exit_code == 0
    assert opened == [[scan, tmp_path]]


def test_nothing_opens_an_empty_viewer(opened: list[list[Path]]) -> None:
    assert CliRunner().invoke(cli.app, []).exit_code == 0
    assert opened == [[]]


def test_a_folder_called_like_a_mistyped_command_opens(
    tmp_path: Path, opened: list[list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("demos").mkdir()
    assert CliRunner().invoke(cli.app, ["demos"]).exit_code == 0
    assert opened == [[Path("demos")]]


def test_a_mistyped_command_is_wrong_usage(opened: list[list[Path]]) -> None:
    result = CliRunner().invoke(cli.app, ["detct", "scan.nii"])
    assert result.exit_code == 2
    assert "Did you mean 'detect'" in result.output
    assert not opened


def test_a_missing_path_is_one_clear_line() -> None:
    done = _brainviewer("/no/such/folder")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == ["There is no file or folder /no/such/folder. Check the path."]


def test_an_unknown_option_is_wrong_usage() -> None:
    assert _brainviewer("doctor", "--nonsense").returncode == 2


def test_commands_are_one_file_each() -> None:
    files = {path.stem for path in Path(commands.__file__).parent.glob("*.py")}
    assert {"open", "demo", "doctor", "info", "models"} <= files
