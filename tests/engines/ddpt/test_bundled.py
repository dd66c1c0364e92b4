"""The bundled model on a scan it has never seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines import catalog, model_package
from engines.files import load_mask, load_volume
from engines.metrics import auroc, dice
from engines.samples import read_cohort

MODEL = Path(__file__).resolve().parents[3] / "resources" / "models" / "ddpt-flair"


def test_it_is_whole_small_and_says_that_it_is_not_clip() -> None:
    card = model_package.verify(MODEL)
    assert "not CLIP" in card.limits
    assert "research only" in card.licence
    assert sum(file.stat().st_size for file in MODEL.iterdir()) < 20 << 20


@pytest.mark.slow
def test_it_finds_and_outlines_a_glioma(data_dir: Path) -> None:
    cohort = read_cohort(data_dir / "lgg_flair.csv").select(split="test")
    sample = min(cohort.samples, key=lambda one: len(one.slice_labels))
    volume = load_volume(sample)
    truth = load_mask(sample, volume)
    assert truth is not None
    result = catalog.create("ddpt", MODEL, "cpu").detect(volume)
    looked_at = np.isfinite(result.slice_scores)
    assert auroc(truth.any((0, 1))[looked_at], result.slice_scores[looked_at]) > 0.85
    assert dice(truth, result.extras["pseudo mask"] > 0) > 0.4
    assert not result.extras["pseudo mask"][..., result.slice_scores < 0.5].any()
