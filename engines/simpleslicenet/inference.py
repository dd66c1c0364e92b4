"""From networks to numbers: log-likelihood of every place, the published maps, the contrast map."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engines.blocks.patch_features import slabs_to_slices
from engines.blocks.place_scores import Heat, top_mean
from engines.blocks.slab_features import CHUNK, Seen, Slabs
from engines.blocks.slice_encoder import SliceEncoder
from engines.contract import Report
from engines.device import Device, run_chunked
from engines.simpleslicenet import scores
from engines.simpleslicenet.contrast import ContrastDecoder, contrast_map
from engines.simpleslicenet.flow import ConditionalFlow
from engines.simpleslicenet.settings import Settings
from engines.simpleslicenet.training import condition

ROWS = {"cpu": 4096, "cuda": 65_536}  # places at a time: some 30 MB of activations on the CPU


def log_likelihood(flow: ConditionalFlow, settings: Settings, slabs: Slabs, device: Device, report: Report) -> Tensor:
    """Log-likelihood l of every place, (m, h, w); 0 outside the foreground where only that is learned."""
    rows, place = slabs.rows()
    wanted = slabs.inside.flatten() if settings.foreground else torch.ones(len(rows), dtype=torch.bool)
    items = torch.cat([rows[wanted], place[wanted]], 1)

    def work(part: Tensor, where: str) -> Tensor:
        flow.to(where)
        part = part.to(where)
        with torch.no_grad(), torch.autocast(where, torch.bfloat16, enabled=device.precision == "bf16"):
            return flow.log_likelihood(part[:, :-3], condition(part[:, -3:], settings)).float().cpu()

    out = torch.zeros(len(rows))
    if len(items):
        out[wanted] = torch.cat(run_chunked(work, items, ROWS[device.name], device, report, "likelihood").outputs)
    return out.view(slabs.inside.shape)


def published_heat(seen: Seen, likely: Tensor, settings: Settings) -> Heat:
    """The heat of the published code from l (m, h, w): relative to the volume itself, so not comparable between two."""
    stack = seen.stack
    slices = slabs_to_slices(likely, len(stack.pictures), settings.slices, settings.slice_stride)
    shape = (*stack.pictures.shape[1:], len(slices))
    smooth = scores.smoothed(slices.permute(1, 2, 0).numpy(), shape, settings.score)
    voxels, per_slice = scores.plos(smooth) if settings.score == "plos" else scores.arxiv([smooth])[0]
    maps = np.where(stack.foreground, voxels.transpose(2, 0, 1), 0)
    return Heat(maps.astype(np.float32), per_slice.astype(np.float32))


def contrast_heat(
    encoder: SliceEncoder, decoder: ContrastDecoder, seen: Seen, slice_share: float, device: Device, report: Report
) -> Heat:
    """Where encoder and decoder disagree (n, S, S), and the mean of the highest slice_share of each slice.

    slice_share 0 is the largest disagreement, as published.
    """
    stack = seen.stack

    def work(part: Tensor, where: str) -> Tensor:
        encoder.to(where)
        decoder.to(where)
        with torch.no_grad():
            encoded = encoder(part.to(where))
            grown = contrast_map(encoded[:3], decoder(encoded[3]))[:, None]
            return functional.interpolate(grown, part.shape[1:], mode="bilinear", align_corners=False)[:, 0].cpu()

    pictures = torch.from_numpy(stack.pictures)
    maps = torch.cat(run_chunked(work, pictures, CHUNK[device.name], device, report, "contrast").outputs).numpy()
    maps = np.where(stack.foreground, maps, 0).astype(np.float32)
    scores = [top_mean(heat[mask], slice_share) for heat, mask in zip(maps, stack.foreground, strict=True)]
    return Heat(maps, np.array(scores, np.float32))
