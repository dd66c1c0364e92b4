"""DDPT as an engine, beyond what every engine must do: its extras, its gate, its backbone for others."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from engines import catalog, model_package, results
from engines.ddpt.engine import Ddpt
from engines.ddpt.maps import MAPS
from engines.ddpt.settings import Settings
from engines.errors import BadInput
from engines.result import AnomalyResult
from engines.samples import Cohort
from tests.engines import phantoms

VOLUME = phantoms.brain(seed=9, lesion=phantoms.Lesion()).volume


@pytest.fixture(scope="module")
def result(tiny_model: Path) -> AnomalyResult:
    return catalog.create("ddpt", tiny_model, "cpu").detect(VOLUME)


def test_result_with_its_maps_can_be_stored_and_read_again(result: AnomalyResult, tmp_path: Path) -> None:
    results.write(tmp_path / "run", result, VOLUME)
    again = results.read(tmp_path / "run")
    assert set(again.extras) == {"pseudo mask", *MAPS}
    assert np.array_equal(again.extras["pseudo mask"], result.extras["pseudo mask"])


def test_heat_of_a_slice_is_at_most_its_probability(result: AnomalyResult) -> None:
    highest = result.heatmap.max((0, 1))
    scored = np.isfinite(result.slice_scores)
    assert (highest[scored] <= result.slice_scores[scored] + 1e-6).all()
    assert not result.extras["pseudo mask"][..., np.nan_to_num(result.slice_scores) < 0.5].any()


def test_another_model_may_take_over_the_backbone(phantom_cohort: Cohort, tiny_model: Path, tmp_path: Path) -> None:
    settings = dataclasses.replace(Settings.tiny(), weights=str(tiny_model), seed=1)
    model = Ddpt.fit(phantom_cohort, tmp_path / "model", settings, device="cpu")
    ours, theirs = (model_package.read_weights(path) for path in (model, tiny_model))
    backbone = [name for name in theirs if name.startswith("backbone.")]
    assert backbone
    assert all(np.array_equal(ours[name], theirs[name]) for name in backbone)
    assert not np.array_equal(ours["prompts.visual"], theirs["prompts.visual"])


@pytest.mark.parametrize(
    "wrong", [{"backbone": "clip"}, {"size": 100}, {"width": 10}, {"depth": 1}, {"blend": (0.0, 0.0, 0.0)}]
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        dataclasses.replace(Settings(), **wrong)
