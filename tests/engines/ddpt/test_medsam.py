"""A second opinion with a tiny random SAM: the frames of boxes and masks, the gate, the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engines.ddpt import medsam
from engines.ddpt.medsam import MedSam, component_boxes, prepared
from engines.errors import BadInput


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import SamConfig, SamModel

    vision = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 64, "patch_size": 8,
        "output_channels": 16, "window_size": 4, "global_attn_indexes": [0], "mlp_dim": 32, "num_pos_feats": 8,
    }  # fmt: skip
    prompts = {"hidden_size": 16, "image_size": 64, "patch_size": 8, "mask_input_channels": 4}
    decoder = {
        "hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "iou_head_hidden_dim": 16
    }  # fmt: skip
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("sam")
    SamModel(
        SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    ).save_pretrained(path)
    return path


def regions(size: int = 96) -> np.ndarray:
    """A disc at the far edge and one at the near edge; then a blank slice."""
    rows, cols = np.indices((size, size))
    two = ((rows - 84) ** 2 + (cols - 80) ** 2 < 64) | ((rows - 20) ** 2 + (cols - 16) ** 2 < 49)
    return np.stack([two, np.zeros_like(two)])


def test_each_part_has_a_box_in_its_own_frame() -> None:
    boxes = component_boxes(regions()[0])
    assert boxes == component_boxes(regions()[0])
    assert len(boxes) == 2
    for (left, top, right, bottom), (row, col, radius) in zip(boxes, [(20, 16, 6), (84, 80, 7)], strict=True):
        assert top <= row - radius < row + radius < bottom
        assert left <= col - radius < col + radius < right
        assert max(right - left, bottom - top) <= 2 * radius + 1 + 2 * round(medsam.MARGIN * 96)
        assert min(left, top) >= 0
        assert max(right, bottom) <= 96


def test_small_parts_get_no_box() -> None:
    region = np.zeros((96, 96), bool)
    region[4:8, 4:8] = True
    assert component_boxes(region) == []


def test_pictures_are_stretched_to_one_without_mean_and_deviation() -> None:
    picture = np.linspace(-0.98, 0.5, 96 * 96, dtype=np.float32).reshape(96, 96)
    shown = prepared(picture, 64)
    assert shown.shape == (1, 3, 64, 64)
    assert shown.min() == 0
    assert shown.max() == 1


def test_boxes_reach_the_network_in_its_frame(folder: Path) -> None:
    asked: list[Tensor] = []
    sam = MedSam(folder)

    def keep(module: Any, arguments: Any, named: dict[str, Any]) -> None:
        asked.append(named["input_boxes"])

    sam.network.prompt_encoder.register_forward_pre_hook(keep, with_kwargs=True)
    sam.refine(np.zeros((2, 96, 96), np.float32), regions())
    (boxes,) = asked  # the blank slice asks for nothing
    assert torch.allclose(boxes[0], torch.tensor(component_boxes(regions()[0])) * (64 / 96))


def test_masks_lie_on_the_pictures_and_only_where_both_agree(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = np.random.default_rng(0).uniform(-1, 1, (2, 96, 96)).astype(np.float32)
    sam = MedSam(folder)
    monkeypatch.setattr(medsam, "AGREEMENT", 0.0)
    monkeypatch.setattr(medsam, "LEAST_IOU", -10.0)
    open_gate = sam.refine(pictures, regions())
    assert open_gate.masks.shape == pictures.shape
    assert not open_gate.masks[1].any()
    again = sam.refine(pictures, regions())
    assert np.array_equal(again.masks, open_gate.masks)
    monkeypatch.setattr(medsam, "AGREEMENT", 1.01)
    assert not sam.refine(pictures, regions()).masks.any()


def test_weights_are_known_by_their_digest(folder: Path, tmp_path: Path) -> None:
    digest = MedSam(folder).digest
    MedSam(folder, wanted=digest)
    with pytest.raises(BadInput, match="other weights"):
        MedSam(folder, wanted="0" * 64)
    with pytest.raises(BadInput, match="no MedSAM"):
        MedSam(tmp_path)
