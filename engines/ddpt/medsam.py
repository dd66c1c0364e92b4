"""A second opinion on the outline: MedSAM (Ma et al. 2024) asked with boxes around DDPT's regions. Optional.

Any local folder with transformers' SAM files will do; nothing is downloaded. Boxes are found and used in the frame of
the very picture that MedSAM sees, with a fixed margin; its mask counts only where both opinions agree well enough.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from engines.ddpt.clip_backbone import WEIGHT_FILES
from engines.errors import BadInput

MARGIN = 0.05  # of the picture's side, around each box
LEAST_PX = 30  # a smaller region gets no box
AGREEMENT = 0.5  # least Dice of MedSAM's mask with the region it was asked about
LEAST_IOU = 0.5  # least overlap with the truth that MedSAM itself expects

Masks = NDArray[np.bool_]
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Refined:
    """masks: bool (n, S, S), empty where there was no agreement. agreement: (n,), Dice with the regions asked about."""

    masks: Masks
    agreement: NDArray[np.float32]


class MedSam:
    """MedSAM from a local folder. digest: SHA-256 of its weights; wanted: refuse others."""

    def __init__(self, folder: Path, device: str = "cpu", wanted: str = "") -> None:
        self.digest = _digest(folder)
        if wanted and wanted != self.digest:
            raise BadInput(f"The MedSAM in {folder} has other weights than expected.", "Choose another folder.")
        if find_spec("transformers") is None:
            raise BadInput("MedSAM needs the package transformers.", "Install it with `pip install brainviewer[clip]`.")
        from transformers import SamModel

        try:
            network: Any = SamModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        except Exception as error:  # noqa: BLE001 - whatever foreign files provoke in the parsers
            raise BadInput(f"{folder} does not hold a readable MedSAM.", "It needs config.json and weights.") from error
        self.network = network.eval().requires_grad_(False).to(device)
        self.device = device
        self.size = int(network.config.vision_config.image_size)

    def refine(self, pictures: NDArray[np.float32], regions: Masks) -> Refined:
        """A mask for each slice from boxes around its regions. pictures: (n, S, S) in -1..1, regions alike."""
        masks = np.zeros_like(regions)
        agreement = np.zeros(len(regions), np.float32)
        for number, region in enumerate(regions):
            boxes = component_boxes(region)
            if boxes:
                found, expected = self._asked(pictures[number], boxes)
                agreement[number] = _dice(found, region)
                if agreement[number] >= AGREEMENT and expected >= LEAST_IOU:
                    masks[number] = found
        return Refined(masks, agreement)

    @torch.no_grad()
    def _asked(self, picture: NDArray[np.float32], boxes: list[Box]) -> tuple[Masks, float]:
        """Union of the answers to all boxes (S, S), and the mean of the overlaps that MedSAM expects."""
        side = picture.shape[0]
        shown = prepared(picture, self.size).to(self.device)
        scaled = torch.tensor(boxes, dtype=torch.float32, device=self.device) * (self.size / side)
        answer = self.network(pixel_values=shown, input_boxes=scaled[None], multimask_output=False)
        low = answer.pred_masks[0].float()  # (boxes, 1, low, low): logits of the whole frame
        likely = functional.interpolate(low.sigmoid(), (side, side), mode="bilinear")[:, 0]
        union: Masks = (likely > 0.5).any(0).cpu().numpy()
        return union, float(answer.iou_scores.float().mean())


def prepared(picture: NDArray[np.float32], size: int) -> Tensor:
    """A picture (S, S) in -1..1 as MedSAM was trained: uint8, cubic to its size, stretched to 0..1, no mean or std."""
    grey = torch.from_numpy(np.clip((picture + 1) / 2 * 255, 0, 255).astype(np.uint8)).float()
    large = functional.interpolate(grey[None, None], (size, size), mode="bicubic").clamp(0, 255)
    low, high = large.min(), large.max()
    return ((large - low) / (high - low).clamp(min=1e-8)).expand(1, 3, -1, -1)


def component_boxes(region: Masks) -> list[Box]:
    """A box (left, top, right, bottom) around each connected part of a region (S, S), grown by a fixed margin."""
    side = region.shape[0]
    parts, _ = ndimage.label(region)
    sizes = np.bincount(parts.ravel())
    grow = round(MARGIN * side)
    boxes = []
    for number, (rows, cols) in enumerate(ndimage.find_objects(parts), start=1):
        if sizes[number] >= LEAST_PX:
            top, left = max(0, rows.start - grow), max(0, cols.start - grow)
            boxes.append((left, top, min(side, cols.stop + grow), min(side, rows.stop + grow)))
    return boxes


def _dice(first: Masks, second: Masks) -> float:
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 0.0


def _digest(folder: Path) -> str:
    weights = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if weights is None:
        raise BadInput(f"There is no MedSAM in {folder}.", "It needs config.json and model.safetensors.")
    with weights.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
