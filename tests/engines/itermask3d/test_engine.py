"""The engine's own promises beyond the contract: extras, another gamma without phase A, modes, quality control."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines.errors import BadInput
from engines.itermask3d import quality
from engines.itermask3d.engine import CURVE, FILLED, MASKS, IterMask3d
from engines.itermask3d.settings import SCORES, Settings
from engines.result import AnomalyResult
from engines.samples import Cohort
from tests.engines import phantoms


@pytest.fixture(scope="module")
def engine(phantom_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> IterMask3d:
    settings = replace(Settings.tiny(), iterations=30, learning_rate=5e-3)
    return IterMask3d(IterMask3d.fit(phantom_cohort, tmp_path_factory.mktemp("itermask") / "model", settings), "cpu")


@pytest.fixture(scope="module")
def ill() -> phantoms.Phantom:
    return phantoms.brain(seed=77, lesion=phantoms.Lesion())


@pytest.fixture(scope="module")
def result(engine: IterMask3d, ill: phantoms.Phantom) -> AnomalyResult:
    return engine.detect(ill.volume)


def test_extras_show_how_the_mask_shrank(result: AnomalyResult) -> None:
    curve, bits = result.extras[CURVE], result.extras[MASKS]
    assert curve.shape == (100,)
    assert (np.diff(curve) >= -1e-6).mean() > 0.8
    assert bits.shape == result.heatmap.shape
    iterations = int(next(step for step in result.provenance.preparation if "iterations" in step).split()[0])
    sizes = [int((bits >> np.uint32(n) & 1).sum()) for n in range(iterations + 1)]
    assert sizes[0] == pytest.approx(result.region.sum(), rel=0.05)  # the first mask is the whole brain
    assert sizes[1] < sizes[0]
    assert not (bits >> np.uint32(iterations + 1)).any()
    assert result.extras[FILLED].shape == result.heatmap.shape


def test_another_gamma_needs_no_phase_a(engine: IterMask3d, ill: phantoms.Phantom, result: AnomalyResult) -> None:
    calls: list[int] = []
    again = engine.rethreshold(ill.volume, result.extras[CURVE], engine.settings.gamma, lambda *_: calls.append(1))
    assert np.array_equal(again.heatmap, result.heatmap)
    assert again.score == result.score
    assert len(calls) < 2 + engine.settings.max_iterations
    other = engine.rethreshold(ill.volume, result.extras[CURVE], 0.3 * engine.settings.gamma)
    assert other.score > result.score
    with pytest.raises(BadInput):
        engine.rethreshold(ill.volume, result.extras[CURVE][:50], 0.05)


def test_the_lesion_stands_out(result: AnomalyResult, ill: phantoms.Phantom) -> None:
    inside = result.region
    assert result.heatmap[ill.lesion & inside].mean() > 2 * result.heatmap[inside & ~ill.lesion].mean()


def test_both_modes_agree_about(engine: IterMask3d, ill: phantoms.Phantom) -> None:
    fast, exact = (engine.find(ill.volume, settings=replace(engine.settings, mode=mode)) for mode in ("fast", "exact"))
    masks = [found.shrunk.masks[-1].numpy() for found in (fast, exact)]
    assert 2 * (masks[0] & masks[1]).sum() / (masks[0].sum() + masks[1].sum()) > 0.7
    assert fast.decision.threshold == pytest.approx(exact.decision.threshold, rel=0.5)


def test_phase_b_may_start_with_the_chosen_mask_or_composite(engine: IterMask3d, ill: phantoms.Phantom) -> None:
    found = engine.find(ill.volume, settings=replace(engine.settings, start="threshold"))
    assert found.shrunk.masks[0].sum() < found.grid.brain.sum()
    found = engine.find(ill.volume, settings=replace(engine.settings, composite=True))
    for before, after in zip(found.shrunk.masks, found.shrunk.masks[1:], strict=False):
        assert not (after & ~before).any()


def test_quality_compares_corrupted_with_clean_scans(
    engine: IterMask3d, phantom_cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = quality.measure(engine, phantom_cohort.select(split="test"), ["noise"], [1.0])
    assert set(scores) == {"clean", "noise 1"}
    assert all(len(values) == 3 for kinds in scores.values() for values in kinds.values())
    assert quality.aurocs(scores)["noise 1"]["error"] == 1
    assert set(scores["clean"]) == set(SCORES)
