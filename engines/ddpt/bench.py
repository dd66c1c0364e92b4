"""What DDPT costs: the published form of each part against ours, in one run on a CLIP of the published size.

The CLIP has random weights: it costs what the real one costs. `python -m engines bench ddpt` needs transformers.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from engines import device as devices
from engines.blocks.slice_encoder import random_encoder
from engines.ddpt.clip_backbone import ClipBackbone
from engines.ddpt.compact import CompactBackbone
from engines.ddpt.losses import auxiliary_loss
from engines.ddpt.maps import look_where
from engines.ddpt.network import DualPrompts, glance
from engines.ddpt.settings import Settings
from engines.ddpt.texts import HEALTH
from engines.errors import BadInput

SLICES = 8
Work = Callable[[Any, DualPrompts, Tensor], None]
PUBLISHED_PASSES = 5  # of the whole model in each training step: one for each value it returns


def bench(device: str = "auto") -> list[dict[str, Any]]:
    """Seconds, CPU seconds and peak memory for SLICES slices: maps and a training step, ours and as published.

    The cheap forms come first, since the peak memory of a process never falls.
    """
    chosen = devices.choose(device)
    torch.manual_seed(0)
    settings = Settings()
    compact = CompactBackbone(random_encoder("efficientnet_lite0", 0), settings.size, settings.width, settings.depth)
    rows = [_measured("compact backbone, maps, one batch", compact, chosen, partial(_maps, settings))]
    clip = _published_clip()
    parts: dict[str, Work] = {
        "ViT-B/32, maps, one batch, hook on the last block": partial(_maps, settings),
        "ViT-B/32, maps, published: one by one, attention of every block": _published_maps,
        "ViT-B/32, step, one pass": partial(_step, passes=1),
        f"ViT-B/32, step, published: {PUBLISHED_PASSES} passes, gradients of frozen weights": _published_step,
    }
    return rows + [_measured(name, clip, chosen, work) for name, work in parts.items()]


def _published_clip() -> ClipBackbone:
    if find_spec("transformers") is None:
        raise BadInput("The bench needs the package transformers.", "Install it with `pip install brainviewer[clip]`.")
    from transformers import CLIPConfig, CLIPModel

    config = CLIPConfig()  # its defaults are ViT-B/32
    config._attn_implementation = "sdpa"
    return ClipBackbone(CLIPModel(config), HEALTH)


def _maps(settings: Settings, backbone: Any, prompts: DualPrompts, pictures: Tensor) -> None:
    with torch.no_grad():
        look_where(backbone, prompts, backbone.look(pictures), settings)


@torch.no_grad()
def _published_maps(clip: Any, prompts: DualPrompts, pictures: Tensor) -> None:
    """One slice at a time, with texts and a second attention in every block for each; without the files it writes."""
    layers = clip.clip.vision_model.encoder.layers
    handles = [layer.self_attn.register_forward_pre_hook(_whole_attention, with_kwargs=True) for layer in layers]
    for picture in pictures:
        glance(clip, prompts, clip.look(picture[None]), learned_text=True)
    for handle in handles:
        handle.remove()


def _whole_attention(module: Any, arguments: Any, named: dict[str, Tensor]) -> None:
    heads = (module.num_heads, -1)
    query, key = (
        layer(named["hidden_states"]).unflatten(-1, heads).transpose(1, 2) for layer in (module.q_proj, module.k_proj)
    )
    (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(-1)


def _step(clip: Any, prompts: DualPrompts, pictures: Tensor, passes: int) -> None:
    labels = torch.arange(len(pictures), device=pictures.device) % 2
    for _ in range(passes):
        found = glance(clip, prompts, clip.look(pictures), learned_text=True)
    (nn.functional.cross_entropy(found.logits, labels) + auxiliary_loss(found, labels)).backward()


def _published_step(clip: Any, prompts: DualPrompts, pictures: Tensor) -> None:
    clip.requires_grad_(True)
    try:
        _step(clip, prompts, pictures, PUBLISHED_PASSES)
    finally:
        clip.requires_grad_(False)
        clip.zero_grad(set_to_none=True)


def _measured(name: str, backbone: Any, device: devices.Device, work: Work) -> dict[str, Any]:
    backbone.eval().to(device.torch)
    prompts = DualPrompts(backbone).to(device.torch)
    pictures = torch.rand(SLICES, backbone.size, backbone.size, generator=torch.Generator().manual_seed(0))
    pictures = (2 * pictures - 1).to(device.torch)
    work(backbone, prompts, pictures)
    started, cpu = time.perf_counter(), time.process_time()
    work(backbone, prompts, pictures)
    if device.name == "cuda":
        torch.cuda.synchronize()
    return {
        "part": name,
        "device": device.title,
        "slices": SLICES,
        "seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "peak_mb": _peak_mb(),
    }


def _peak_mb() -> int:
    import resource  # not on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most >> 20 if sys.platform == "darwin" else most >> 10)
