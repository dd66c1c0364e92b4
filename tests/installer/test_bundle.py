"""The bundle: what a built program must show, and the Debian package of it. Building itself takes minutes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from installer import bundle
from installer.trouble import Trouble

posix = pytest.mark.skipif(sys.platform == "win32", reason="the small program is a shell script")


def program(folder: Path, script: str) -> Path:
    path = folder / "brainviewer"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@posix
def test_a_program_that_does_not_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="fails at `--version`"):
        bundle.smoke(program(tmp_path, "echo broken >&2; exit 3"))


@posix
def test_a_program_without_heatmaps_is_refused(tmp_path: Path) -> None:
    script = 'if [ "$1" = --version ]; then echo BrainViewer 9.9; else echo \'{"runs": []}\'; fi'
    with pytest.raises(Trouble, match="no heatmap"):
        bundle.smoke(program(tmp_path, script))


@posix
def test_nothing_of_python_is_around_the_program(tmp_path: Path) -> None:
    script = f"env > {tmp_path}/seen; exit 1"
    with pytest.raises(Trouble):
        bundle.smoke(program(tmp_path, script))
    seen = (tmp_path / "seen").read_text()
    assert "PYTHON" not in seen
    assert "VIRTUAL_ENV" not in seen
    assert f"PATH={bundle.SYSTEM_PATH}\n" in seen


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
def test_the_debian_package_holds_program_command_and_menu_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "brainviewer"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "data").write_bytes(b"x" * 3_000_000)
    executable = program(folder, "echo BrainViewer 9.9")
    for name, value in (("DIST", tmp_path), ("PROGRAM", folder), ("EXECUTABLE", executable)):
        monkeypatch.setattr(bundle, name, value)
    package = bundle.debian()
    assert package.name.startswith("brainviewer_9.9_")
    listed = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, check=True).stdout
    for path in ("./opt/brainviewer/inner/data", "./usr/bin/brainviewer -> /opt/brainviewer/brainviewer"):
        assert path in listed
    assert "brainviewer.desktop" in listed
    told = subprocess.run(["dpkg-deb", "-I", package], capture_output=True, text=True, check=True).stdout
    assert "libgl1" in told
    assert "research use only" in told
