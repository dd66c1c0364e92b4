"""What only this engine does: published maps, the contrast heatmap, the bundled model, the bench."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines import catalog
from engines.errors import BadInput
from engines.samples import Cohort
from engines.simpleslicenet.engine import SimpleSliceNet
from engines.simpleslicenet.settings import Settings
from tests.engines import phantoms

BUNDLED = Path(__file__).parents[3] / "resources" / "models" / "simpleslicenet-t1"


@pytest.mark.parametrize("score", ["plos", "arxiv"])
def test_published_maps_lie_in_0_to_1(score: str, phantom_cohort: Cohort, tmp_path: Path) -> None:
    tiny = replace(Settings.tiny(), score=score, iterations=2, checkpoint_every=2)
    model = SimpleSliceNet.fit(phantom_cohort, tmp_path / "model", tiny, device="cpu")
    found = SimpleSliceNet(model, "cpu").detect(phantoms.brain(seed=9).volume)
    assert found.heatmap.min() >= 0
    assert found.heatmap.max() <= 1
    assert "log_likelihood" in found.extras


def test_contrast_heatmap_needs_no_flow(phantom_cohort: Cohort, tmp_path: Path) -> None:
    tiny = replace(Settings.tiny(), heatmap="contrast", contrast_iterations=2, contrast_batch=2)
    model = SimpleSliceNet.fit(phantom_cohort, tmp_path / "model", tiny, device="cpu")
    assert not (tmp_path / "model.training" / "features").exists()
    found = SimpleSliceNet(model, "cpu").detect(phantoms.brain(seed=9).volume)
    assert np.allclose(found.extras["contrast"], found.heatmap, atol=1e-6)
    assert found.heatmap.max() > 0


def test_bundled_model_lights_up_a_dark_lesion() -> None:
    engine = catalog.create("simpleslicenet", BUNDLED, "cpu")
    shape, spacing = (90, 100, 40), (2.0, 2.0, 4.0)
    affine = phantoms.centred_affine(shape, spacing)
    phantom = phantoms.brain(shape, 3, phantoms.Lesion(radius_mm=22, contrast=-0.35), affine, "T1")
    found = engine.detect(phantom.volume)
    inside = found.region & phantom.lesion
    outside = found.region & ~phantom.lesion
    assert found.heatmap[inside].mean() > found.heatmap[outside].mean()


def test_an_engine_without_a_bench_says_so() -> None:
    assert callable(catalog.bench("simpleslicenet"))
    with pytest.raises(BadInput, match="cannot time"):
        catalog.bench("patchcore")
