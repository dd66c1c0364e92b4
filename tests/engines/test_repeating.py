"""A stored run and its repetition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engines.repeating import compare
from engines.result import AnomalyResult, PercentileScale, Provenance


@pytest.fixture
def stored():
    heatmap = np.linspace(0, 1, 6**3, dtype=np.float32).reshape(6, 6, 6)
    scale = PercentileScale(np.linspace(0, 1, 11), np.linspace(0, 100, 11))
    how = Provenance("x", "m", "a" * 64, {"chunk": 4}, "cpu", "fp32", 1.0, "uid", versions={"torch": "2.12"})
    scores = heatmap.max(axis=(0, 1))
    return AnomalyResult(heatmap, scale, heatmap > 0.1, 2, scores, scale.percentile(scores), 1.0, 100.0, 0.99, how)


def test_the_same_again_is_identical(stored):
    found = compare(stored, replace(stored, heatmap=stored.heatmap.copy()))
    assert found.identical
    assert found.same
    assert found.largest == 0
    assert found.changed == ()
    assert "identical" in str(found)


def test_rounding_agrees_and_a_changed_place_differs(stored):
    rounded = compare(stored, replace(stored, heatmap=stored.heatmap + np.float32(1e-4)))
    assert not rounded.identical
    assert rounded.same
    assert "agrees" in str(rounded)
    other = stored.heatmap.copy()
    other[3, 3, 3] += 0.3
    found = compare(stored, replace(stored, heatmap=other))
    assert not found.same
    assert found.largest == pytest.approx(30, abs=0.1)
    assert "differs" in str(found)


def test_what_was_made_differently_is_named(stored):
    how = replace(stored.provenance, model_digest="b" * 64, settings={"chunk": 2}, versions={"torch": "2.13"})
    found = compare(stored, replace(stored, provenance=how))
    assert found.changed == (f"model {'a' * 12} -> {'b' * 12}", "chunk 4 -> 2", "torch 2.12 -> 2.13")


def test_runs_on_other_grids_cannot_be_compared(stored):
    with pytest.raises(ValueError, match="grids"):
        compare(stored, replace(stored, heatmap=stored.heatmap[:5]))
