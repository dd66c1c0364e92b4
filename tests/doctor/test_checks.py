"""The doctor's findings on this machine, and on machines where something is broken."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brainviewer import cli
from brainviewer.doctor import Check, checks
from brainviewer.storage import folders


def _all(found: Iterator[Check]) -> list[Check]:
    return list(found)


def test_installed_codecs_decode_a_small_picture() -> None:
    faults = checks.probe("codecs")
    assert {name: faults[name] for name in checks.ESSENTIAL_CODECS} == dict.fromkeys(checks.ESSENTIAL_CODECS)


def test_a_codec_that_decodes_wrongly_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "probe", lambda name: {"RLE": None, "JPEG-LS": "grey levels are off by up to 9"})
    assert [(check.status, check.finding) for check in checks.codecs()] == [
        ("ok", "decode: uncompressed, RLE"),
        ("failed", "JPEG-LS: grey levels are off by up to 9"),
    ]


def test_engines_compute_somewhere() -> None:
    (check,) = checks.computing()
    assert check.status in ("ok", "warning")
    assert "torch" in check.finding


def test_opengl_draws() -> None:
    (check,) = checks.graphics()
    assert check.status == "ok"
    assert "OpenGL" in check.finding


@pytest.mark.display
def test_window_can_be_shown() -> None:
    (check,) = checks.window()
    assert check.status == "ok"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")
def test_without_a_display_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    (check,) = checks.window()
    assert check.status == "warning"
    assert "--offscreen" in check.remedy


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")
def test_a_display_that_does_not_answer_is_a_finding_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":987")
    (check,) = checks.window()
    assert check.status == "failed"
    assert "Qt cannot start" in check.finding


@pytest.mark.parametrize(
    ("status", "said", "words"),
    [
        (-11, "", "it crashed (SIGSEGV)"),
        (1, "a\nImportError: no libGL\n", "ImportError: no libGL"),
        (3, "", "status 3"),
    ],
)
def test_the_end_of_a_probe_in_words(status: int, said: str, words: str) -> None:
    assert words in checks.how_it_ended(status, said)


def test_user_folders_can_be_written(home: Path) -> None:
    found = _all(checks.user_folders())
    assert found
    assert all(check.status == "ok" and str(home) in check.finding for check in found)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX file in the place of a folder")
def test_a_folder_that_cannot_be_made_fails_with_its_remedy(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setenv("BRAINVIEWER_HOME", str(home / "file"))
    found = _all(checks.user_folders())
    assert {check.status for check in found} == {"failed"}
    assert "BRAINVIEWER_HOME" in found[0].remedy


def test_bundled_models_are_sound() -> None:
    assert [check for check in checks.models() if check.status == "failed"] == []


def test_a_damaged_model_fails(home: Path) -> None:
    broken = folders.models_dir() / "broken"
    broken.mkdir(parents=True)
    (broken / "model.json").write_text("{}")
    found = [check for check in checks.models() if check.status == "failed"]
    assert len(found) == 1
    assert "broken" in found[0].finding


def test_disk_and_memory_are_measured() -> None:
    free = shutil.disk_usage(os.environ["BRAINVIEWER_HOME"]).free / 2**30
    disk, memory = checks.room()
    assert float(disk.finding.split()[0]) == pytest.approx(free, abs=1)
    assert "GB" in memory.finding


def test_command_prints_facts_for_scripts() -> None:
    result = CliRunner().invoke(cli.app, ["doctor", "--json"])
    facts = json.loads(result.stdout)
    failed = [check for check in facts["checks"] if check["status"] == "failed"]
    assert facts["healthy"] == (not failed)
    assert result.exit_code == (1 if failed else 0)
    assert all(check["remedy"] for check in failed)
