"""pip's many ways to fail, and which build of torch is tried."""

import sys
from pathlib import Path

import pytest

from installer import packages
from installer.trouble import Trouble


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("WARNING: Retrying ... NewConnectionError('...: Temporary failure in name resolution')", "cannot be reached"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: No matching distribution found for torch==2.13.0", "torch==2.13.0"),
        ("ERROR: Wheel 'x' is invalid.", "Wheel 'x' is invalid."),
        ("", "no reason given"),
    ],
)
def test_failure_of_pip_is_explained(output: str, words: str) -> None:
    assert words in packages.explain(output)


def test_no_network_wins_over_the_missing_version_that_follows_from_it() -> None:
    output = "ProxyError('Cannot connect')\nERROR: No matching distribution found for numpy==2.4.6\n"
    assert "cannot be reached" in packages.explain(output)


def test_small_build_of_torch_is_tried_first_without_a_graphics_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert packages.torch_choices("torch==2.13.0", cuda=False, own_index=False) == [
        "torch==2.13.0+cpu",
        "torch==2.13.0",
    ]


def test_with_a_graphics_card_the_cpu_build_is_refused_at_first() -> None:
    assert packages.torch_choices("torch==2.13.0", cuda=True, own_index=False)[0] == "torch===2.13.0"


def test_own_index_decides_alone() -> None:
    assert packages.torch_choices("torch==2.13.0", cuda=True, own_index=True) == ["torch==2.13.0"]


@pytest.fixture
def empty_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip configured to look into an empty folder only: a machine cut off from every package index."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null" if sys.platform != "win32" else "nul")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path


def test_a_package_that_cannot_be_had_ends_in_one_sentence(empty_index: Path) -> None:
    constraints = empty_index / "constraints.txt"
    constraints.touch()
    with pytest.raises(Trouble, match="no fitting package"):
        packages.install(sys.executable, ["torch==0.0.1", "numpy==0.0.1"], constraints, torch_index="", cuda=False)


def test_pip_tells_what_it_said(empty_index: Path) -> None:
    assert "pip" in packages.pip(sys.executable, "--version")
