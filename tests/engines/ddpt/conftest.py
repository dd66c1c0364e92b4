"""What several tests of DDPT need: a tiny CLIP on disk, a tiny model of the compact backbone."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.ddpt.engine import Ddpt
from engines.ddpt.settings import Settings
from engines.samples import Cohort
from tests.engines.ddpt.golden import tiny_clip


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random CLIP as transformers saves it."""
    folder = tmp_path_factory.mktemp("clip")
    tiny_clip().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(phantom_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compact model trained for a few steps on phantoms."""
    return Ddpt.fit(phantom_cohort, tmp_path_factory.mktemp("ddpt") / "model", Settings.tiny(), device="cpu")
