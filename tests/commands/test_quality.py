"""`brainviewer quality`: a scan among healthy ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from brainviewer.cli import app
from brainviewer.commands.quality import verdict
from engines.itermask3d.engine import IterMask3d
from engines.itermask3d.settings import Settings
from engines.result import SIGN_NAMES
from tests.engines import phantoms

PLAN = (("normal", "train", 2), ("normal", "val", 10))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cohort = phantoms.write_cohort(tmp_path_factory.mktemp("cohort"), PLAN)
    return IterMask3d.fit(cohort, tmp_path_factory.mktemp("model") / "itermask", Settings.tiny())


def told(model: Path, scan: Path) -> dict[str, object]:
    words = ["quality", scan, "--model", model, "--device", "cpu", "--json"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_noise_raises_the_score_and_its_signs_say_so(model: Path, tmp_path: Path) -> None:
    clean = phantoms.brain(seed=50)
    grey = clean.volume.voxels
    noisy = np.abs(grey + np.random.default_rng(0).normal(0, 0.05 * grey.max(), grey.shape)).astype(np.float32)
    phantoms.save(tmp_path, "clean_FLAIR", clean)
    phantoms.save(tmp_path, "noisy_FLAIR", replace(clean, volume=replace(clean.volume, voxels=noisy)))
    before, after = (told(model, tmp_path / f"{name}_FLAIR.nii.gz") for name in ("clean", "noisy"))
    assert after["score"] > 2 * before["score"]
    assert after["percentile_of_healthy_scans"] > before["percentile_of_healthy_scans"]
    farthest, distance = str(after["signs"]).split(", ")[0].split()
    assert float(distance) > 3
    assert farthest in SIGN_NAMES
    assert "unlike healthy scans" in str(after["verdict"])


def test_a_percentile_in_words() -> None:
    assert verdict(50.0) == "like healthy scans"
    assert "look for artefacts" in verdict(97.0)
    assert "unknown" in verdict(float("nan"))
