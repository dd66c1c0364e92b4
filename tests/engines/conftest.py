"""Phantom cohorts and the engines to try on them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engines.samples import Cohort
from tests.engines.fake_engine import fake_engine, installed
from tests.engines.phantoms import write_cohort

__all__ = ["fake_engine"]


@pytest.fixture(scope="session")
def phantom_cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """21 phantoms: training, validation and test, some with lesions."""
    return write_cohort(tmp_path_factory.mktemp("phantoms"))


@pytest.fixture(scope="module")
def fake_engine_installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The catalog knows the engine "fake" during one test file."""
    with installed(tmp_path_factory.mktemp("site")):
        yield
