"""Calibration: known distributions give known percentiles, and unseen healthy tissue behaves as promised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines import model_package
from engines.calibration import Calibration, slice_heights
from engines.errors import BadCohort, BadModel
from engines.healthy import TABLE, HealthyScores, ranked_scale
from engines.model_card import ModelCard
from engines.result import Provenance
from tests.engines import phantoms

NO_SLICES = np.array([0.5]), np.array([0.5])
HEIGHTS = np.linspace(0, 1, 30)


def healthy(subjects: int, voxels: int = 50_000, seed: int = 0) -> HealthyScores:
    """Exponential voxel values with a little difference between subjects; slices score higher in the middle."""
    random = np.random.default_rng(seed)
    scores = HealthyScores()
    for subject in range(subjects):
        values = random.exponential(random.uniform(0.95, 1.05), voxels).astype(np.float32)
        slices = np.sin(np.pi * HEIGHTS) + random.normal(0, 0.1, len(HEIGHTS))
        scores.add(f"s{subject}", values, slices, HEIGHTS, float(slices.mean()))
    return scores


def test_uniform_values_give_their_own_percentiles() -> None:
    scores = HealthyScores()
    scores.add("s1", np.linspace(0, 1, 1_000_001), *NO_SLICES)
    scale = scores.build().heatmap
    for percentile in (0.5, 25, 50, 90, 99, 99.9, 99.99):
        assert scale.value(percentile) == pytest.approx(percentile / 100, abs=2e-5)
        assert scale.percentile(percentile / 100) == pytest.approx(percentile, abs=2e-3)


def test_tail_of_a_normal_distribution_is_accurate_up_to_99_99() -> None:
    from scipy.stats import norm

    scores = HealthyScores()
    for subject in range(4):
        scores.add(f"s{subject}", np.random.default_rng(subject).normal(size=2_000_000), *NO_SLICES)
    scale = scores.build().heatmap
    for percentile, tolerance in ((50, 0.01), (95, 0.01), (99, 0.01), (99.9, 0.02), (99.99, 0.05)):
        assert scale.value(percentile) == pytest.approx(norm.ppf(percentile / 100), abs=tolerance)


def test_table_is_small_and_rises_strictly() -> None:
    scale = healthy(12).build().heatmap
    assert len(scale.values) <= len(TABLE) <= 300
    assert (np.diff(scale.values) > 0).all()
    assert (np.diff(scale.percentiles) > 0).all()
    assert scale.percentiles[-1] == 100
    assert (np.diff(scale.percentile(np.linspace(-1, 50, 1000))) >= 0).all()


def test_one_percent_of_unseen_healthy_voxels_lies_above_the_99th_percentile() -> None:
    threshold = healthy(12).build().heatmap.value(99)
    random = np.random.default_rng(1)
    unseen = np.concatenate([random.exponential(random.uniform(0.95, 1.05), 50_000) for _ in range(20)])
    assert (unseen > threshold).mean() == pytest.approx(0.01, abs=0.002)


def test_each_subject_weighs_the_same_however_large() -> None:
    scores = HealthyScores()
    scores.add("large", np.random.default_rng(0).uniform(0, 1, 500_000), *NO_SLICES)
    scores.add("small", np.random.default_rng(1).uniform(1, 2, 5_000), *NO_SLICES)
    assert scores.build().heatmap.percentile(1.0) == pytest.approx(50, abs=0.5)
    again = HealthyScores()
    for _ in range(9):
        again.add("often", np.random.default_rng(0).uniform(0, 1, 5_000), *NO_SLICES)
    again.add("once", np.random.default_rng(1).uniform(1, 2, 5_000), *NO_SLICES)
    assert again.build().heatmap.percentile(1.0) == pytest.approx(50, abs=0.5)


def test_many_equal_values_are_counted_once_and_right() -> None:
    scores = HealthyScores()
    scores.add("s1", np.concatenate([np.zeros(40_000), np.random.default_rng(0).uniform(0, 1, 60_000)]), *NO_SLICES)
    scale = scores.build().heatmap
    assert scale.percentile(0.0) == pytest.approx(40, abs=0.1)
    assert scale.percentile(0.5) == pytest.approx(70, abs=0.3)


def test_values_above_all_healthy_ones_have_percentile_100() -> None:
    scores = HealthyScores()
    scores.add("s1", np.zeros(100), *NO_SLICES)
    assert scores.build().heatmap.percentile(0.1) == 100
    assert healthy(3).build().heatmap.percentile(1e9) == 100


def test_slice_scores_are_judged_at_their_own_height() -> None:
    slices = healthy(12).build().slices
    usual = slices.percentiles(np.sin(np.pi * HEIGHTS), HEIGHTS)
    assert np.abs(usual - 50).max() < 25
    # 0.9 is ordinary in the middle and far too high at the vertex.
    middle, vertex = slices.percentiles(np.array([0.9, 0.9]), np.array([0.5, 0.98]))
    assert middle < 60
    assert vertex > 99
    assert np.isnan(slices.percentiles(np.array([np.nan]), np.array([np.nan]))).all()


def test_unseen_healthy_slices_spread_evenly_over_the_percentiles() -> None:
    slices = healthy(20, voxels=10).build().slices
    random = np.random.default_rng(9)
    unseen = [slices.percentiles(np.sin(np.pi * HEIGHTS) + random.normal(0, 0.1, 30), HEIGHTS) for _ in range(50)]
    assert (np.concatenate(unseen) > 95).mean() == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize(("subjects", "known"), [(7, False), (8, True)])
def test_study_percentile_needs_eight_healthy_subjects(subjects: int, known: bool) -> None:
    calibration = healthy(subjects).build()
    assert np.isfinite(calibration.study_percentile(0.6)) == known
    assert bool(calibration.warnings) != known


def test_few_studies_do_not_prove_a_high_percentile() -> None:
    assert healthy(10).build().study_percentile(1e9) == pytest.approx(95)  # the highest of ten


def test_ranked_scale_honours_weights() -> None:
    scale = ranked_scale(np.array([3.0, 1.0, 2.0]), np.array([2.0, 1.0, 1.0]))
    assert scale.values.tolist() == [1, 2, 3]
    assert scale.percentiles.tolist() == [12.5, 37.5, 75]


def test_round_trip_through_a_model_package(tmp_path: Path) -> None:
    before = healthy(9).build()
    model_package.write(tmp_path / "m", ModelCard(engine="fake", name="m"), {"w": np.zeros(1)}, before.to_arrays())
    after = Calibration.from_arrays(model_package.read_calibration(tmp_path / "m"))
    for name, array in before.to_arrays().items():
        assert np.array_equal(after.to_arrays()[name], array), name


def test_round_trip_without_study_scale() -> None:
    after = Calibration.from_arrays(healthy(3).build().to_arrays())
    assert after.study is None
    assert "3 healthy subjects" in after.warnings[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("heatmap.values", np.array([1.0, 0.0])),
        ("heatmap.values", np.array([0.0, np.nan])),
        ("heatmap.percentiles", np.array([0.0, 50.0, 101.0])),
        ("slices.deviations", np.zeros(41)),
        ("slices.means", np.zeros(3)),
        ("study.values", np.zeros((2, 2))),
        ("subjects", np.empty(0)),
    ],
)
def test_damaged_tables_are_refused(name: str, value: np.ndarray) -> None:
    arrays = healthy(9).build().to_arrays() | {name: value}
    with pytest.raises(BadModel):
        Calibration.from_arrays(arrays)
    with pytest.raises(BadModel, match="missing"):
        Calibration.from_arrays({})


def test_nothing_to_calibrate_on_is_said() -> None:
    with pytest.raises(BadCohort, match="no healthy volume"):
        HealthyScores().build()


def test_heights_run_upwards_in_the_patient_whatever_the_storage() -> None:
    phantom = phantoms.brain()
    upright = slice_heights(phantom.brain, phantom.volume.affine, 2)
    inside = np.flatnonzero(np.isfinite(upright))
    assert (upright[inside[0]], upright[inside[-1]]) == (0, 1)
    assert np.isnan(upright[0])
    flipped = phantoms.reoriented(phantom.volume, "RAI")
    downwards = slice_heights(phantom.brain[:, :, ::-1], flipped.affine, 2)
    assert np.allclose(downwards, upright[::-1], equal_nan=True)


def test_result_carries_the_percentiles_and_nothing_outside_the_region() -> None:
    phantom = phantoms.brain()
    calibration = healthy(9).build()
    heatmap = np.full(phantoms.SHAPE, 0.7, np.float32)
    scores = np.full(phantoms.SHAPE[2], 0.5, np.float32)
    provenance = Provenance("fake", "m", "", {}, "cpu", "fp32", 0.0, "uid")
    result = calibration.result(phantom.volume, heatmap, phantom.brain, scores, 0.6, provenance)
    assert not result.heatmap[~phantom.brain].any()
    assert result.threshold == calibration.heatmap.value(99)
    assert np.isfinite(result.score_percentile)
    assert np.isfinite(result.slice_percentiles[phantom.brain.any((0, 1))]).all()


@pytest.mark.parametrize(("share", "warned"), [(0.2, False), (0.5, True)])
def test_a_scan_that_is_abnormal_as_a_whole_is_doubted(share: float, warned: bool) -> None:
    phantom = phantoms.brain()
    calibration = healthy(9).build()
    heatmap = np.zeros(phantoms.SHAPE, np.float32)
    inside = np.flatnonzero(phantom.brain)
    heatmap.flat[inside[: int(share * len(inside))]] = calibration.heatmap.value(99.5)
    scores = np.full(phantoms.SHAPE[2], 0.5, np.float32)
    provenance = Provenance("fake", "m", "", {}, "cpu", "fp32", 0.0, "uid", warnings=("first",))
    result = calibration.result(phantom.volume, heatmap, phantom.brain, scores, 0.6, provenance)
    assert result.provenance.warnings[0] == "first"
    assert any("differs as a whole" in warning for warning in result.provenance.warnings) == warned
