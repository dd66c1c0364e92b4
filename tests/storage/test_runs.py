"""Folders of kept runs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from brainviewer.storage import runs


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAINVIEWER_HOME", str(tmp_path))


def make(key: str, age_s: float = 0.0) -> Path:
    folder = runs.folder(key)
    folder.mkdir(parents=True)
    (folder / "result.json").write_text("{}")
    then = time.time() - age_s
    os.utime(folder, (then, then))
    return folder


def test_only_old_folders_that_nobody_knows_are_swept_away() -> None:
    known, forgotten, young = (runs.new_key() for _ in range(3))
    old = 2 * runs.YOUNG_S
    folders = [make(known, old), make(forgotten, old), make(young)]
    foreign = folders[0].parent / "notes"
    foreign.mkdir()
    assert runs.sweep({known}) == 1
    assert [folder.exists() for folder in folders] == [True, False, True]
    assert foreign.exists()


@pytest.mark.parametrize("key", ["", "..", "../settings", "A" * 32])
def test_what_is_no_key_never_becomes_a_path(key: str) -> None:
    with pytest.raises(ValueError, match="names no run"):
        runs.remove(key)
