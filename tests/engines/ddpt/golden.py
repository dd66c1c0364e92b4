"""A tiny CLIP and prompts with the closed-form weights of the golden numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engines.ddpt.clip_backbone import ClipBackbone
from engines.ddpt.network import DualPrompts
from engines.ddpt.texts import ClassTexts

VALUES: dict[str, dict[str, Any]] = json.loads((Path(__file__).parents[1] / "golden" / "ddpt.json").read_text())

TEXTS = ClassTexts(
    written=((62, 1, 2, 3, 1, 21, 4, 5, 63), (62, 1, 2, 3, 1, 22, 23, 4, 5, 63)),
    words=((21,), (22, 23)),
    start=62,
    end=63,
)
PUBLISHED_MAP_TEXT = (62, 1, 2, 3, 1, 24, 25, 4, 5, 63)

CLIP_NAMES = {
    "vis.patch_conv.weight": "vision_model.embeddings.patch_embedding.weight",
    "vis.cls_token": "vision_model.embeddings.class_embedding",
    "vis.pos": "vision_model.embeddings.position_embedding.weight",
    "vis.ln_pre": "vision_model.pre_layrnorm",
    "vis.ln_post": "vision_model.post_layernorm",
    "vis.proj": "visual_projection.weight",
    "txt.token_embedding": "text_model.embeddings.token_embedding.weight",
    "txt.pos": "text_model.embeddings.position_embedding.weight",
    "txt.ln_final": "text_model.final_layer_norm",
    "txt.proj": "text_projection.weight",
    "vis.block": "vision_model.encoder.layers.",
    "txt.block": "text_model.encoder.layers.",
    "attn.out": "self_attn.out_proj",
    ".ln1": ".layer_norm1",
    ".ln2": ".layer_norm2",
    "mlp.fc": "mlp.fc1",
    "mlp.proj": "mlp.fc2",
}
PROMPT_NAMES = {
    "prompt.text_ctx": "text_context",
    "prompt.visual": "visual",
    "cavpt.ctx_keys": "extra_keys",
    "cavpt.meta": "meta",
    "cavpt.q.": "query.",
    "cavpt.k.": "key.",
    "cavpt.v_out": "value_out",
    "cavpt.ln1": "norm_auxiliary",
    "cavpt.ln2": "norm_prompt",
    "cavpt.classifier": "classifier",
}


def tiny_clip(vocabulary: int = 64) -> Any:
    """transformers' CLIP with 3 vision and 2 text layers, random weights, float32."""
    from transformers import CLIPConfig, CLIPModel

    common = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "projection_dim": 24}
    vision = {"hidden_size": 48, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 3}
    text = {"hidden_size": 40, "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1, "pad_token_id": 0}
    ids = {"vocab_size": vocabulary, "max_position_embeddings": 14, **ends}
    config = CLIPConfig(
        text_config={**common, **text, **ids},
        vision_config={**common, **vision, "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    config._attn_implementation = "sdpa"
    return CLIPModel(config)


def golden_networks() -> tuple[ClipBackbone, DualPrompts]:
    """Backbone and prompts of golden 2a, float64."""
    clip = tiny_clip().double()
    backbone = ClipBackbone(clip, TEXTS)
    prompts = DualPrompts(backbone, context=4, visual=5, extra_keys=10).double()
    with torch.no_grad():
        for t, (role, shape, kind, gain) in enumerate(VALUES["tiny"]["tensors"]):
            _put(clip, prompts, role, _value(t, shape, kind, gain))
    return backbone, prompts


def _put(clip: Any, prompts: DualPrompts, role: str, value: Tensor) -> None:
    if role.startswith("logit_scale"):
        clip.logit_scale.fill_(value.item())
        return
    own = role.startswith(("prompt.", "cavpt."))
    name = _renamed(role, PROMPT_NAMES if own else CLIP_NAMES)
    tensors = prompts.state_dict() if own else clip.state_dict()
    if "attn.in_proj" in name:
        for part, letter in zip(value.chunk(3), "qkv", strict=True):
            tensors[name.replace("attn.in_proj", f"self_attn.{letter}_proj")].copy_(part)
        return
    value = value.T if role in ("vis.proj", "txt.proj") else value
    tensors[name].copy_(value.reshape(tensors[name].shape))


def _renamed(role: str, names: dict[str, str]) -> str:
    for old, new in names.items():
        role = role.replace(old, new)
    return role


def _value(t: int, shape: Any, kind: str, gain: float) -> Tensor:
    if kind == "C":
        return torch.tensor(float(gain), dtype=torch.float64)
    j = (np.arange(int(np.prod(shape)), dtype=np.int64) + 101 * t) % 1009
    s = torch.from_numpy(np.sin(2 * np.pi * ((37 * j * j + 11 * j) % 1009) / 1009 + 1.3 * t + 0.1).reshape(shape))
    if kind == "W":
        return gain * s * np.sqrt(2 * shape[0] / s.numel())
    return {"N": 1 + 0.1 * s, "B": 0.1 * gain * s, "P": gain * s}[kind]


def golden_pictures() -> Tensor:
    """x (3, 3, 32, 32), as already normalised colours."""
    b, k, r, c = np.meshgrid(np.arange(3.0), np.arange(3.0), np.arange(32.0), np.arange(32.0), indexing="ij")
    x = np.sin(0.31 * r + 0.7 * b + k) * np.cos(0.23 * c - 0.4 * k) + 0.4 * np.sin(0.05 * r * c + 0.9 * k - 0.5 * b)
    return torch.from_numpy(x)


def check(name: str, tensor: Tensor, rel: float = 1e-8) -> None:
    """Compare whatever is golden of `name`: the whole list, mean, std, norm, single elements."""
    tensor, seen = tensor.detach(), 0
    for key, value in VALUES["tiny"]["outputs"].items():
        rest = key.removeprefix(name)
        if rest == key and key != name or rest and rest[0] not in ".[":
            continue
        if rest == "":
            mine: Any = tensor.numpy()
        elif rest in (".mean", ".std", ".norm"):
            mine = getattr(tensor, rest[1:])().item()
        else:
            mine = tensor[tuple(int(i) for i in rest[1:-1].split(", "))].item()
        seen += 1
        assert np.asarray(mine) == pytest.approx(np.asarray(value), rel=rel, abs=1e-11), key
    assert seen, f"nothing golden is called {name}"
