"""What the children run besides the readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brainviewer.jobs import tasks
from engines import AnomalyResult, BadInput, PercentileScale, Provenance, Volume


def test_percentiles_follow_the_scale_inside_the_region_and_are_zero_outside():
    heatmap = np.array([[[0.0, 1.0, 2.0, 5.0]]], np.float32)
    region = np.array([[[True, True, True, False]]])
    scale = PercentileScale(np.array([0.0, 2.0]), np.array([0.0, 100.0]))
    how = Provenance("fake", "m", "", {}, "cpu", "float32", 0.0, "1")
    scores = np.zeros(4, np.float32)
    result = AnomalyResult(heatmap, scale, region, 2, scores, scores, 0.0, 0.0, 1.98, how)
    assert tasks.percentiles_of(result).tolist() == [[[0.0, 50.0, 100.0, 0.0]]]


def test_an_unknown_engine_is_known_trouble():
    volume = Volume(np.ones((4, 4, 4), np.float32), np.eye(4))
    with pytest.raises(BadInput, match="no engine called 'nonsense'"):
        tasks.detect_for_display("nonsense", Path("nowhere"), volume)
