"""Uncertain slices and cases are those a reader would look at next."""

from __future__ import annotations

import numpy as np
import pytest

from brainviewer.study.uncertainty import case_uncertainty, next_slice, slice_uncertainty

SHAPE = (40, 40, 6)
REGION = np.ones(SHAPE, bool)


def heatmap(**slices: tuple[float, int]) -> np.ndarray:
    """Healthy-looking percentiles, with a square of a percentile and a side in some slices ("s3=(99.2, 10)")."""
    values = np.linspace(0, 90, np.prod(SHAPE[:2]), dtype=np.float32).reshape(SHAPE[:2])
    volume = np.repeat(values[:, :, None], SHAPE[2], axis=2)
    for name, (percentile, side) in slices.items():
        volume[5 : 5 + side, 5 : 5 + side, int(name[1:])] = percentile
    return volume


def of(*percentiles: np.ndarray, scores: list[float] | None = None) -> np.ndarray:
    curves = [np.array(scores or [50.0] * 6, np.float32)] * len(percentiles)
    return slice_uncertainty(percentiles, [REGION] * len(percentiles), curves, 2, 99.0)


def test_what_lies_close_to_the_threshold_is_uncertain_and_what_is_clear_is_not():
    found = of(heatmap(s1=(99.9, 12), s3=(98.9, 12), s4=(98.9, 1)))
    assert found.argmax() == 3
    assert found[3] > 3 * found[1]
    assert found[3] > 3 * found[4]
    assert found[0] == 0


def test_a_slice_score_at_the_threshold_is_uncertain():
    found = of(heatmap(), scores=[50, 99.0, 99.9, float("nan"), 50, 50])
    assert found.argmax() == 1
    assert found[3] == 0


def test_runs_that_disagree_make_a_slice_uncertain():
    one, other = heatmap(s1=(99.9, 12), s2=(99.9, 12)), heatmap(s1=(99.9, 12))
    found = of(one, other)
    assert found.argmax() == 2
    assert found[1] == pytest.approx(0, abs=0.01)


def test_nothing_scored_is_not_uncertain():
    empty = np.zeros(SHAPE, bool)
    found = slice_uncertainty([heatmap(s1=(99, 9))], [empty], [np.full(6, np.nan, np.float32)], 2, 99.0)
    assert not found.any()


def test_the_next_slice_is_undecided_and_another_one():
    uncertainty = np.array([0.1, 0.9, 0.5, 0.0], np.float32)
    assert next_slice(uncertainty, np.ones(4, bool), 0) == 1
    assert next_slice(uncertainty, np.ones(4, bool), 1) == 2
    assert next_slice(uncertainty, np.array([True, False, False, True]), 3) == 0
    assert next_slice(uncertainty, np.array([False, False, False, True]), 0) is None


def test_a_case_is_uncertain_near_the_threshold_or_where_engines_disagree():
    assert case_uncertainty([99.0], 99.0) == pytest.approx(1.0)
    assert case_uncertainty([99.0], 99.0) > case_uncertainty([50.0], 99.0)
    assert case_uncertainty([50.0, 99.99], 99.0) > case_uncertainty([99.99, 99.99], 99.0)
    assert case_uncertainty([float("nan")], 99.0) == 0.0
