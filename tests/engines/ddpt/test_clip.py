"""CLIP from a folder: which one, what is frozen, and what its attention says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engines import catalog, model_package
from engines.ddpt.clip_backbone import ClipBackbone, clip_digest, load_clip
from engines.ddpt.engine import Ddpt
from engines.ddpt.maps import look_where
from engines.ddpt.network import DualPrompts, glance, watched
from engines.ddpt.settings import Settings
from engines.errors import BadInput
from engines.samples import Cohort
from tests.engines import phantoms
from tests.engines.ddpt.golden import TEXTS, tiny_clip


@pytest.fixture(scope="module")
def backbone() -> ClipBackbone:
    torch.manual_seed(0)
    return ClipBackbone(tiny_clip(), TEXTS)


@pytest.fixture(scope="module")
def prompts(backbone: ClipBackbone) -> DualPrompts:
    torch.manual_seed(1)
    return DualPrompts(backbone, context=4, visual=3, extra_keys=2)


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return torch.rand(5, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1


def test_only_prompts_have_gradients(backbone: ClipBackbone, prompts: DualPrompts, pictures: Tensor) -> None:
    found = glance(backbone, prompts, backbone.embed(backbone.look(pictures)), learned_text=True)
    (found.logits.square().sum() + found.auxiliary.square().sum()).backward()
    assert all(parameter.grad is not None for parameter in prompts.parameters())
    assert all(parameter.grad is None for parameter in backbone.parameters())


def test_watched_attention_is_the_networks_own(backbone: ClipBackbone, pictures: Tensor) -> None:
    tokens = backbone.look(pictures)
    backbone.clip.config.vision_config._attn_implementation = "eager"
    try:
        kept: list[Tensor] = []
        handle = backbone.last_attention.register_forward_hook(lambda module, inputs, out: kept.append(out[1]))
        with watched(backbone.last_attention) as rows, torch.no_grad():
            backbone.block(backbone.depth - 1, tokens)
        handle.remove()
    finally:
        backbone.clip.config.vision_config._attn_implementation = "sdpa"
    assert torch.allclose(rows[0], kept[0][:, :, 0].mean(1), atol=1e-6)


def test_the_hook_is_gone_afterwards(backbone: ClipBackbone, pictures: Tensor) -> None:
    with watched(backbone.last_attention) as rows:
        pass
    backbone.block(backbone.depth - 1, backbone.look(pictures))
    assert rows == []
    assert not backbone.last_attention._forward_pre_hooks


def test_maps_do_not_depend_on_the_batch(backbone: ClipBackbone, prompts: DualPrompts, pictures: Tensor) -> None:
    seen = backbone.look(pictures)
    together = look_where(backbone, prompts, seen, Settings())
    alone = [look_where(backbone, prompts, seen[n : n + 1], Settings()) for n in range(len(pictures))]
    assert torch.allclose(together.maps, torch.cat([one.maps for one in alone]), atol=1e-6)
    assert torch.allclose(together.log_odds, torch.cat([one.log_odds for one in alone]), atol=1e-5)


def test_a_folder_is_known_by_its_digest(clip_folder: Path, tmp_path: Path) -> None:
    digest = clip_digest(clip_folder)
    assert load_clip(str(clip_folder), TEXTS, digest)[1] == digest
    with pytest.raises(BadInput, match="another one"):
        load_clip(str(clip_folder), TEXTS, "0" * 64)
    with pytest.raises(BadInput, match="no CLIP"):
        load_clip(str(tmp_path), TEXTS)


def test_files_that_are_no_clip_are_refused(clip_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadInput, match="readable"):
        load_clip(str(tmp_path), TEXTS)


def test_a_model_on_clip_keeps_only_prompts_and_asks_for_its_clip(
    phantom_cohort: Cohort, clip_folder: Path, tmp_path: Path
) -> None:
    # The vocabulary of the tiny CLIP is 64 words: the real token ids need one as large as CLIP's.
    clip = tiny_clip(vocabulary=49408)
    clip.save_pretrained(tmp_path / "clip")
    settings = dataclasses.replace(Settings.tiny(), backbone="clip", clip=str(tmp_path / "clip"), weights="")
    model = Ddpt.fit(phantom_cohort, tmp_path / "model", settings, device="cpu")
    loaded = model_package.load(model)
    assert {name.partition(".")[0] for name in loaded.weights} == {"prompts"}
    assert loaded.card.settings["clip_digest"] == clip_digest(tmp_path / "clip")
    assert "CLIP" in loaded.card.limits
    volume = phantoms.brain(seed=3, lesion=phantoms.Lesion()).volume
    heat = catalog.create("ddpt", model, "cpu").detect(volume).heatmap
    assert np.isfinite(heat).all()
    assert heat.any()
    (tmp_path / "clip" / "config.json").write_text("{}")
    with pytest.raises(BadInput):
        catalog.create("ddpt", model, "cpu")
