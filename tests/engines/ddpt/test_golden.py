"""Dual prompt tuning against numbers that were computed with the published network and closed-form weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from engines.ddpt.clip_backbone import ClipBackbone
from engines.ddpt.losses import auxiliary_loss, cosine_logits, text_phase
from engines.ddpt.network import DualPrompts, Glance, glance, watched, zero_shot
from tests.engines.ddpt.golden import (
    PUBLISHED_MAP_TEXT,
    VALUES,
    check,
    golden_networks,
    golden_pictures,
)

LABELS = torch.tensor([0, 1, 1])
ALPHA = 0.3
GRADIENTS = {
    "prompt.text_ctx": "text_context",
    "prompt.visual": "visual",
    "cavpt.meta.weight": "meta.weight",
    "cavpt.k.weight": "key.weight",
    "cavpt.ctx_keys": "extra_keys",
    "cavpt.classifier.weight": "classifier.weight",
}


@pytest.fixture(scope="module")
def networks() -> tuple[ClipBackbone, DualPrompts]:
    return golden_networks()


@pytest.fixture(scope="module")
def tokens(networks: tuple[ClipBackbone, DualPrompts]) -> Tensor:
    with torch.no_grad():
        return networks[0].tokens_of(golden_pictures())


def test_what_is_learned_is_what_is_published(networks: tuple[ClipBackbone, DualPrompts]) -> None:
    backbone, prompts = networks
    assert sum(p.numel() for p in prompts.parameters()) == VALUES["tiny"]["outputs"]["n_trainable"]
    assert not any(p.requires_grad for p in backbone.parameters())


def test_published_size() -> None:
    class VitB32:
        width, text_width, embedding, depth = 768, 512, 512, 12

    assert sum(p.numel() for p in DualPrompts(VitB32()).parameters()) == 1_137_920  # type: ignore[arg-type]


def test_features(networks: tuple[ClipBackbone, DualPrompts], tokens: Tensor) -> None:
    backbone, prompts = networks
    check("zeroshot_image_feature z", zero_shot(backbone, tokens))
    check("text_features_learned(un-normalised)", backbone.learned_texts(prompts.text_context))
    check("text_features_handcrafted(unit)", functional.normalize(backbone.written_texts(), dim=-1))


@pytest.mark.parametrize("mode", ["learned", "handcrafted"])
def test_one_look(networks: tuple[ClipBackbone, DualPrompts], tokens: Tensor, mode: str) -> None:
    found = glance(*networks, tokens, learned_text=mode == "learned")
    check(f"[{mode}] L (logits)", found.logits)
    check(f"[{mode}] aux_logits in class order (B,2 prompts,2 classes)", found.auxiliary)
    check(f"[{mode}] class_prompts C in class order (B,2,width)", found.class_prompts)
    check(f"[{mode}] cavpt_attention A in class order (B,2,keys)", found.class_attention)


@pytest.mark.parametrize("mode", ["learned", "handcrafted"])
@pytest.mark.parametrize("early", [True, False], ids=["epoch<30", "epoch>=30"])
def test_losses_and_gradients(
    networks: tuple[ClipBackbone, DualPrompts], tokens: Tensor, mode: str, early: bool
) -> None:
    backbone, prompts = networks
    found = glance(backbone, prompts, tokens, learned_text=mode == "learned")
    zero, written = _other_logits(backbone, tokens, found)
    check(f"[{mode}] L1", zero)
    check(f"[{mode}] L2", written)
    check(f"[{mode}] CE(aux of own class prompt,y)", auxiliary_loss(found, LABELS))
    image = text_phase(found.logits, zero, written, LABELS) if early else functional.cross_entropy(found.logits, LABELS)
    loss = image + ALPHA * auxiliary_loss(found, LABELS)
    phase = "epoch<30" if early else "epoch>=30"
    check(f"[{mode}] loss {phase}", loss)
    prompts.zero_grad()
    loss.backward()
    for role, name in GRADIENTS.items():
        gradient = dict(prompts.named_parameters())[name].grad
        check(f"[{mode}] grad_norm[{role}] {phase}", torch.zeros(()) if gradient is None else gradient.norm())
    assert all(parameter.grad is None for parameter in backbone.parameters())


def _other_logits(backbone: ClipBackbone, tokens: Tensor, found: Glance) -> tuple[Tensor, Tensor]:
    """Of the unprompted slice with the texts in use, and of the prompted one with the written texts."""
    zero = cosine_logits(zero_shot(backbone, tokens), found.texts, backbone.scale)
    feature = backbone.project(found.tokens[:, 0])
    return zero, cosine_logits(feature, backbone.written_texts(), backbone.scale)


def test_class_token_attention_of_the_learned_form(networks: tuple[ClipBackbone, DualPrompts], tokens: Tensor) -> None:
    with watched(networks[0].last_attention) as rows:
        found = glance(*networks, tokens[:2], learned_text=True)
    (row,) = rows
    for image in range(2):
        check(f"[learned] map: logits image {image}", found.logits[image])
        check(f"[learned] map: CLS->patch attention image {image}", row[image, 1:17])
        check(f"[learned] map: sum over patches image {image}", row[image, 1:17].sum())
        assert row.shape[1] == VALUES["tiny"]["outputs"][f"[learned] map: tokens in last block image {image}"]


def test_published_map_has_one_prompt_from_another_sentence(
    networks: tuple[ClipBackbone, DualPrompts], tokens: Tensor
) -> None:
    """The published map differs from its training (errata E1); it can be had from the same parts."""
    backbone, prompts = networks
    text = backbone.text_features((PUBLISHED_MAP_TEXT,))
    for image in range(2):
        x = tokens[image : image + 1]
        for number in range(backbone.depth - 1):
            x = backbone.block(number, torch.cat([x, prompts.visual[number][None]], 1))[:, :17]
        own, _, _ = prompts.class_prompts(x, text)
        with watched(backbone.last_attention) as rows:
            x = backbone.block(backbone.depth - 1, torch.cat([x, own], 1))
        check(f"[handcrafted] map: CLS->patch attention image {image}", rows[0][0, 1:17])
        logits = cosine_logits(backbone.project(x[:, 0]), text, backbone.scale)
        check(f"[handcrafted] map: logits image {image}", logits[0])
