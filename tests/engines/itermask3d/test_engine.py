"""The engine's own promises beyond the contract: extras, another gamma without phase A, modes, quality control."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines import model_package
from engines.contract import Rethresholdable
from engines.errors import BadInput, BadModel
from engines.files import load_volume
from engines.itermask3d import bench, quality
from engines.itermask3d.engine import FILLED, IterMask3d
from engines.itermask3d.preparation import prepare
from engines.itermask3d.settings import MODES, SCORES, Settings
from engines.itermask3d.threshold import choose_threshold
from engines.result import ITERATION_MASKS, THRESHOLD_CURVE, THRESHOLD_SLOPES, AnomalyResult
from engines.samples import Cohort
from tests.engines import phantoms


@pytest.fixture(scope="module")
def model(phantom_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = replace(Settings.tiny(), iterations=24, checkpoint_every=24, learning_rate=1e-2)
    return IterMask3d.fit(phantom_cohort, tmp_path_factory.mktemp("itermask") / "model", settings)


@pytest.fixture(scope="module")
def engine(model: Path) -> IterMask3d:
    return IterMask3d(model, "cpu")


@pytest.fixture(scope="module")
def ill() -> phantoms.Phantom:
    return phantoms.brain(seed=77, lesion=phantoms.Lesion())


@pytest.fixture(scope="module")
def result(engine: IterMask3d, ill: phantoms.Phantom) -> AnomalyResult:
    return engine.detect(ill.volume)


def test_training_can_start_from_another_model(
    engine: IterMask3d, model: Path, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    settings = replace(Settings.tiny(), iterations=1, checkpoint_every=1, learning_rate=0.0, from_model=str(model))
    learned = model_package.load(IterMask3d.fit(phantom_cohort, tmp_path / "model", settings), "itermask3d")
    name = "up.0.first.conv.weight"
    assert np.array_equal(learned.weights[name], model_package.load(model, "itermask3d").weights[name])
    assert learned.card.parent == model_package.read_card(model).digest
    assert learned.card.settings["from_model"] == ""
    assert len(learned.card.preparation["landmarks"]) == 13
    assert engine.settings.landmarks == pytest.approx(learned.card.preparation["landmarks"])
    with pytest.raises(BadModel, match="do not fit"):
        IterMask3d.fit(phantom_cohort, tmp_path / "wider", replace(settings, width=8))


def test_extras_show_how_the_mask_shrank(result: AnomalyResult) -> None:
    curve, bits = result.extras[THRESHOLD_CURVE], result.extras[ITERATION_MASKS]
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
    assert isinstance(engine, Rethresholdable)
    curve, gamma = result.extras[THRESHOLD_CURVE], engine.settings.gamma
    again = engine.rethreshold(ill.volume, curve, gamma, lambda *_: calls.append(1))
    assert np.array_equal(again.heatmap, result.heatmap)
    assert again.score == result.score
    assert len(calls) <= 2 + engine.settings.max_iterations
    assert result.provenance.settings["gamma"] == gamma
    assert not any("by hand" in text for text in again.provenance.warnings)
    other = engine.rethreshold(ill.volume, curve, 0.3 * gamma)
    assert other.provenance.settings["gamma"] == 0.3 * gamma
    assert any("by hand" in text for text in other.provenance.warnings)
    sizes = [np.count_nonzero(one.extras[ITERATION_MASKS] >> np.uint32(1) & 1) for one in (other, result)]
    assert sizes[0] > sizes[1]
    for wrong in (curve[:50], np.full(100, np.nan)):
        with pytest.raises(BadInput):
            engine.rethreshold(ill.volume, wrong, 0.05)
    with pytest.raises(BadInput):
        engine.rethreshold(ill.volume, curve, 0.0)


def test_slopes_tell_the_threshold_of_any_gamma(result: AnomalyResult) -> None:
    curve, slopes = result.extras[THRESHOLD_CURVE], result.extras[THRESHOLD_SLOPES]
    said = next(step for step in result.provenance.preparation if step.startswith("threshold"))
    step = int(np.argmax(slopes > result.provenance.settings["gamma"])) + 1
    assert f"percentile {step} " in said
    assert f"{curve[step - 1]:.4g}" in said


def test_a_curve_that_ended_early_serves_or_is_made_anew(engine: IterMask3d, ill: phantoms.Phantom) -> None:
    # An early y_limit ends phase A at the 80 points that the fit's R^2 looks at, as nothing exceeds such a gamma.
    settings = replace(engine.settings, y_limit=1e-3, gamma=1e9, uncrossed=1)
    early = engine.search(prepare(ill.volume, settings), settings=settings)
    full = engine.whole_curve(early.grid)
    assert np.isfinite(early.curve).sum() in (80, 100)
    assert np.array_equal(early.curve[:80], full[:80])
    calls: list[int] = []
    short = np.where(np.arange(100) < 80, full, np.nan)
    engine.rethreshold(ill.volume, short, engine.settings.gamma, lambda *_: calls.append(1))
    assert len(calls) > 100 // settings.coarse_step  # the y_limit of 10 was not reached: phase A again


def test_gamma_is_what_healthy_brains_have(engine: IterMask3d, phantom_cohort: Cohort) -> None:
    samples = phantom_cohort.select(split="val", label="normal").samples
    slopes = []
    for sample in samples:
        curve = engine.whole_curve(prepare(load_volume(sample), engine.settings))
        found = choose_threshold(curve, 1.0, engine.settings.y_limit)
        slopes.append(found.slopes[engine.settings.healthy_step - 1])
    assert engine.model_card.settings["gamma"] == 0
    assert 0.9 * min(slopes) <= engine.settings.gamma <= 1.1 * max(slopes)


def test_the_lesion_stands_out(result: AnomalyResult, ill: phantoms.Phantom) -> None:
    inside = result.region
    assert result.heatmap[ill.lesion & inside].mean() > 2 * result.heatmap[inside & ~ill.lesion].mean()


def test_both_modes_agree_about(engine: IterMask3d, ill: phantoms.Phantom) -> None:
    exact, fast = (engine.find(ill.volume, settings=replace(engine.settings, mode=mode, gamma=0.1)) for mode in MODES)
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
    plan = quality.plan(3, ["noise", "blur"], [0.5, 1.0], each=2)
    assert [len(tasks) for tasks in plan] == [4, 4, 3]  # two of each kind and severity in turn, and each one clean
    cells = [("noise", 0.5), ("noise", 1.0), ("blur", 0.5), ("blur", 1.0)]
    assert sorted(task for tasks in plan for task in tasks[1:]) == sorted(2 * cells)
    scores = quality.measure(engine, phantom_cohort.select(split="test"), ["noise"], [1.0])
    assert set(scores) == {"clean", "noise 1"}
    assert all(len(values) == 3 for kinds in scores.values() for values in kinds.values())
    assert quality.aurocs(scores)["noise 1"]["error"] == 1
    assert set(scores["clean"]) == set(SCORES)


def test_the_benchmark_tells_work_and_agreement(engine: IterMask3d) -> None:
    usual = engine.settings
    rows = {row["what"]: row for row in bench.facts(bench.table(engine, bench.made_up(usual)))}
    engine.settings = usual
    assert rows["exact mode"]["Dice with exact"] == 1
    assert rows["exact mode"]["passes"] >= 100 > rows["fast mode"]["passes"]
    assert 0 <= rows["fast mode"]["Dice with exact"] <= 1
    work = {name: row["GFLOP a pass"] for name, row in rows.items() if "mode" not in name}
    # Making the doubling kernels counts in a network as tiny as this one.
    assert work["as trained"] == pytest.approx(work["transposed, folded"], rel=0.2)
    assert work["transposed, folded"] < 0.6 * work["plain, folded"]
