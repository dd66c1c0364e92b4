"""CLIP (Radford et al. 2021) as a frozen backbone: any local folder with transformers' CLIP files.

Nothing is downloaded. transformers is imported only when a CLIP is asked for.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.ddpt.texts import ClassTexts
from engines.errors import BadInput

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


class ClipBackbone(nn.Module):
    """transformers' CLIP behind network.Backbone; its parameters are frozen."""

    mirrors = False  # its first layer is no symmetric one

    def __init__(self, clip: Any, texts: ClassTexts) -> None:
        super().__init__()
        self.clip = clip.eval().requires_grad_(False)  # a transformers.CLIPModel
        self.texts = texts
        vision, text = clip.config.vision_config, clip.config.text_config
        self.size, self.side = int(vision.image_size), int(vision.image_size // vision.patch_size)
        self.width, self.text_width = int(vision.hidden_size), int(text.hidden_size)
        self.embedding, self.depth = int(clip.config.projection_dim), int(vision.num_hidden_layers)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1), persistent=False)

    def look(self, pictures: Tensor) -> Tensor:
        """Slices (b, S, S) in -1..1 -> tokens (b, 1 + patches, width)."""
        grey = (pictures[:, None] + 1) / 2
        return self.tokens_of((grey - self.get_buffer("mean")) / self.get_buffer("deviation"))

    def mirrored(self, seen: Tensor) -> Tensor:
        """Not to be had from tokens."""
        raise NotImplementedError

    def tokens_of(self, colours: Tensor) -> Tensor:
        """Normalised colour pictures (b, 3, S, S) -> tokens before the first block."""
        vision: Any = self.clip.vision_model
        tokens: Tensor = vision.pre_layrnorm(vision.embeddings(colours))
        return tokens

    def embed(self, seen: Tensor) -> Tensor:
        """They are tokens already."""
        return seen

    def block(self, number: int, tokens: Tensor) -> Tensor:
        """See network.Backbone."""
        layers: Any = self.clip.vision_model.encoder.layers
        out: Tensor = layers[number](tokens, None)
        return out

    @property
    def last_attention(self) -> nn.Module:
        """See network.Backbone."""
        layers: Any = self.clip.vision_model.encoder.layers
        found: nn.Module = layers[-1].self_attn
        return found

    def project(self, tokens: Tensor) -> Tensor:
        """See network.Backbone."""
        projected: Tensor = self.clip.visual_projection(self.clip.vision_model.post_layernorm(tokens))
        return projected

    @property
    def scale(self) -> Tensor:
        """See network.Backbone."""
        scale: Tensor = self.clip.logit_scale.exp()
        return scale

    def written_texts(self) -> Tensor:
        """See network.Backbone."""
        return self.text_features(self.texts.written)

    def learned_texts(self, context: Tensor) -> Tensor:
        """See network.Backbone."""
        end = (self.texts.end,)
        stops = [ids[-2:-1] for ids in self.texts.written]  # the full stop
        blanks = (0,) * len(context)
        rows = [
            (self.texts.start, *blanks, *word, *stop, *end) for word, stop in zip(self.texts.words, stops, strict=True)
        ]
        return self.text_features(tuple(rows), context)

    def text_features(self, rows: tuple[tuple[int, ...], ...], context: Tensor | None = None) -> Tensor:
        """Token ids of sentences -> (sentences, embedding); context replaces the tokens after the first."""
        text: Any = self.clip.text_model
        length = max(map(len, rows))
        device = self.clip.logit_scale.device
        ids = torch.tensor([row + (0,) * (length - len(row)) for row in rows], device=device)
        tokens = text.embeddings.token_embedding(ids)
        if context is not None:
            learned = context.expand(len(rows), -1, -1).to(tokens.dtype)
            tokens = torch.cat([tokens[:, :1], learned, tokens[:, 1 + len(context) :]], 1)
        tokens = text.embeddings(inputs_embeds=tokens)
        later = torch.full((length, length), float("-inf"), dtype=tokens.dtype, device=device).triu(1)
        for layer in text.encoder.layers:
            tokens = layer(tokens, later[None, None])
        last = torch.tensor([len(row) - 1 for row in rows], device=device)  # where the sentence ends
        tokens = text.final_layer_norm(tokens[torch.arange(len(rows), device=device), last])
        features: Tensor = self.clip.text_projection(tokens)
        return features


def load_clip(folder: str, texts: ClassTexts, digest: str = "") -> tuple[ClipBackbone, str]:
    """The CLIP of a local folder and the SHA-256 of its configuration and weights.

    digest: refuse another one, for a model knows only the CLIP it was trained on. Raises BadInput.
    """
    path = Path(folder)
    found = clip_digest(path)
    if digest and found != digest:
        raise BadInput(f"The CLIP in {path} is another one than the model was trained on.", "Choose that one.")
    if find_spec("transformers") is None:
        raise BadInput("CLIP needs the package transformers.", "Install it with `pip install brainviewer[clip]`.")
    from transformers import CLIPModel

    try:
        clip = CLIPModel.from_pretrained(path, local_files_only=True, attn_implementation="sdpa", dtype=torch.float32)
    except Exception as error:  # noqa: BLE001 - whatever foreign files provoke in the parsers
        raise BadInput(f"{path} does not hold a readable CLIP.", "It needs config.json and the weights.") from error
    if not isinstance(clip, CLIPModel):
        raise BadInput(f"{path} holds another network than CLIP.", "Choose a CLIP folder.")
    return ClipBackbone(clip, texts), found


def clip_digest(folder: Path) -> str:
    """SHA-256 over config.json and the weights; raises BadInput where they are missing."""
    weights = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    config = folder / "config.json"
    if weights is None or not config.is_file():
        raise BadInput(
            f"There is no CLIP in {folder}.", "It needs config.json and model.safetensors as transformers saves them."
        )
    digest = hashlib.sha256(config.read_bytes())
    with weights.open("rb") as content:
        digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def resized(pictures: Tensor, size: int) -> Tensor:
    """Slices (b, S, S) at another size, bicubic with antialiasing."""
    if pictures.shape[-1] == size:
        return pictures
    return functional.interpolate(pictures[:, None], (size, size), mode="bicubic", antialias=True)[:, 0].clamp(-1, 1)
