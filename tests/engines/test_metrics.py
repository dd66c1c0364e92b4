"""Figures against scikit-learn, hand-computed values and known truths about intervals."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from engines import metrics


def subjects(
    count: int = 8, items: int = 500, seed: int = 0, decimals: int | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        truth = random.random(items) < 0.2
        scores = random.normal(size=items) + truth + 0.5 * random.normal()
        found.append((truth, (scores if decimals is None else scores.round(decimals)).astype(np.float32)))
    return found


def pooled(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([truth for truth, _ in pairs]), np.concatenate([scores for _, scores in pairs])


def test_hand_computed_values() -> None:
    truth, scores = np.array([False, True, False, True]), np.array([0.1, 0.4, 0.35, 0.8])
    assert metrics.auroc(truth, scores) == 1.0
    assert metrics.average_precision(np.array([True, False, True]), np.array([3.0, 2, 1])) == pytest.approx(5 / 6)
    assert metrics.dice(np.array([True, True, False]), np.array([True, False, True])) == 0.5
    assert metrics.oracle_dice(np.array([True, False, True, False]), np.array([4.0, 3, 2, 1])) == (0.8, 2.0)
    assert np.isnan(metrics.dice(np.zeros(3, bool), np.zeros(3, bool)))
    assert np.isnan(metrics.auroc(np.ones(3, bool), np.arange(3.0)))


@pytest.mark.parametrize("decimals", [None, 1], ids=["distinct", "many ties"])
def test_binned_figures_equal_scikit_learn_when_scores_are_few(decimals: int | None) -> None:
    pairs = subjects(decimals=decimals)
    truth, scores = pooled(pairs)
    table = metrics.tabulate(pairs)
    normal, abnormal = table.normal.sum(0).astype(float), table.abnormal.sum(0).astype(float)
    assert float(metrics.table_auroc(normal, abnormal)) == pytest.approx(roc_auc_score(truth, scores), abs=1e-9)
    expected = average_precision_score(truth, scores)
    assert float(metrics.table_average_precision(normal, abnormal)) == pytest.approx(expected, abs=1e-9)


def test_binned_figures_stay_close_for_a_million_voxels() -> None:
    pairs = subjects(count=4, items=250_000)
    truth, scores = pooled(pairs)
    table = metrics.tabulate(pairs)
    assert len(table.edges) <= metrics.BINS
    normal, abnormal = table.normal.sum(0).astype(float), table.abnormal.sum(0).astype(float)
    assert abs(float(metrics.table_auroc(normal, abnormal)) - roc_auc_score(truth, scores)) < 1e-5
    assert abs(float(metrics.table_average_precision(normal, abnormal)) - average_precision_score(truth, scores)) < 5e-4


def test_oracle_dice_is_the_best_over_all_thresholds() -> None:
    truth, scores = pooled(subjects(count=1, items=200, decimals=1))
    best, threshold = metrics.oracle_dice(truth, scores)
    tried = [f1_score(truth, scores >= value) for value in np.unique(scores)]
    assert best == pytest.approx(max(tried), abs=1e-12)
    assert metrics.dice(truth, scores >= threshold) == pytest.approx(best)


def test_ranking_gives_the_exact_value_inside_its_interval() -> None:
    pairs = subjects()
    truth, scores = pooled(pairs)
    area, precision = metrics.ranking(pairs)
    assert area.value == roc_auc_score(truth, scores)
    assert precision.value == average_precision_score(truth, scores)
    assert area.low < area.value < area.high
    assert (area.subjects, area.items) == (8, 4000)
    assert area.prevalence == truth.mean()
    assert metrics.ranking(pairs) == [area, precision]  # seeded


def test_interval_draws_subjects_not_items() -> None:
    random = np.random.default_rng(0)
    truth = np.arange(400) % 2 == 0
    good = [(truth, truth + random.normal(0, 0.01, 400)) for _ in range(5)]
    bad = [(truth, ~truth + random.normal(0, 0.01, 400)) for _ in range(5)]
    area = metrics.ranking(good + bad)[0]
    assert area.high - area.low > 0.3  # ten witnesses who disagree, not four thousand who agree
    same = metrics.ranking(good)[0]
    assert same.high - same.low < 0.01


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    covered = 0
    for trial in range(60):
        values = random.normal(0.5, 0.2, 40)
        figure = metrics.mean("x", values.tolist(), seed=trial)
        covered += figure.low <= 0.5 <= figure.high
    assert covered >= 50


def test_one_subject_or_one_class_has_no_interval() -> None:
    assert np.isnan(metrics.ranking(subjects(count=1))[0].low)
    healthy = [(np.zeros(10, bool), np.arange(10.0))] * 3
    area, precision = metrics.ranking(healthy)
    assert np.isnan([area.value, area.low, precision.value]).all()


def test_subject_level_is_one_item_a_subject() -> None:
    pairs = [
        (
            np.array([k % 2 == 0]),
            np.array(
                [
                    k % 2 == 0,
                ],
                float,
            )
            + 0.1 * k,
        )
        for k in range(20)
    ]
    area = metrics.ranking(pairs)[0]
    assert (area.items, area.prevalence) == (20, 0.5)
    assert area.low <= area.value <= area.high


def test_overlap_means_over_subjects_with_a_lesion_and_labels_the_oracle() -> None:
    pairs = subjects(count=4)
    given, oracle = metrics.overlap([*pairs, (np.zeros(5, bool), np.ones(5))], threshold=1.0)
    by_hand = np.mean([f1_score(truth, scores > 1.0) for truth, scores in pairs])
    assert given.value == pytest.approx(by_hand)
    assert (given.subjects, oracle.subjects) == (4, 4)
    assert oracle.value >= given.value - 1e-9
    assert "oracle" in oracle.name
    assert "chosen with the truth" in oracle.note
    assert [figure.name for figure in metrics.overlap(pairs, None)] == ["Dice (oracle)"]


def test_four_million_voxels_are_ranked() -> None:
    pairs = subjects(count=4, items=1_000_000)  # a quadratic way would not come to an end
    found = {figure.name: figure.value for figure in metrics.ranking(pairs)}
    truth, scores = (np.concatenate(part) for part in zip(*pairs, strict=True))
    assert found["AUROC"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-4)
    assert len(metrics.overlap(pairs, 1.0)) == 2
