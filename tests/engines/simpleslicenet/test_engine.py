"""What only this engine does: published maps, the contrast heatmap, the bundled model, the bench."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from engines import catalog, model_package
from engines.blocks.slab_features import View, look
from engines.blocks.slice_encoder import TO_STRIDE_32, random_encoder
from engines.contract import silent
from engines.device import choose
from engines.errors import BadInput, BadModel
from engines.samples import Cohort
from engines.simpleslicenet.contrast import ContrastDecoder
from engines.simpleslicenet.engine import SimpleSliceNet
from engines.simpleslicenet.inference import contrast_heat
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


def test_contrast_slice_score_is_the_highest_place_or_a_mean() -> None:
    encoder, decoder = random_encoder("efficientnet_lite0", 0, TO_STRIDE_32), ContrastDecoder("efficientnet_lite0")
    seen = look(phantoms.brain(seed=9).volume, View.of(Settings.tiny()))
    run = partial(contrast_heat, encoder, decoder.eval(), seen)
    highest, mean = (run(share, choose("cpu"), silent) for share in (0.0, 1.0))
    assert np.allclose(highest.slice_scores, highest.maps.max((1, 2)))
    inside = seen.stack.foreground
    assert np.allclose(mean.slice_scores, [heat[mask].mean() for heat, mask in zip(mean.maps, inside, strict=True)])


def test_distances_join_the_likelihood(phantom_cohort: Cohort, tmp_path: Path) -> None:
    tiny = replace(Settings.tiny(), distance_share=0.5, iterations=2, checkpoint_every=2)
    model = SimpleSliceNet.fit(phantom_cohort, tmp_path / "model", tiny, device="cpu")
    volume = phantoms.brain(seed=9).volume
    both = SimpleSliceNet(model, "cpu").detect(volume)
    assert both.extras["distance"].max() > 0
    alone = SimpleSliceNet(model, "cpu")
    alone.settings = replace(tiny, distance_share=0.0)
    assert not np.allclose(alone.detect(volume).heatmap, both.heatmap)
    loaded = model_package.load(model, "simpleslicenet")
    kept = {key: torch.from_numpy(value) for key, value in loaded.weights.items() if key != "memory"}
    model_package.write(tmp_path / "forgetful", loaded.card, kept, dict(loaded.calibration))
    with pytest.raises(BadModel, match="not a model of"):
        SimpleSliceNet(tmp_path / "forgetful", "cpu")


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
