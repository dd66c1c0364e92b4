"""Trains the network of the brain mask on T1 scans with label maps, made blind to contrast.

    python -m engines.brain_training COHORT.csv LABELS --out FOLDER

LABELS holds one label map a volume (same file name up to "_T1"), brain = label > 0. Grey values inside and outside the
brain are sent through two random curves, so that the network learns shapes that hold for T1, T2, FLAIR and PD alike;
random lesions, bias fields, thick slices and skull-stripped heads are added (after the idea of SynthSeg, Billot et
al. 2023).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import nibabel as nib
import numpy as np
import torch
import typer
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from engines.brain_network import PIXEL_MM, SIDE, BrainNetwork, normalised
from engines.contract import Report, silent
from engines.samples import Sample, read_cohort
from engines.training import TrainingState, linear_decay, train

BATCH = 12
RATE = 2e-3
AS_SCANNED = 0.35  # share of slices that keep their real contrast
NEIGHBOURS = 2  # slices kept on both sides, for thick-slice averages


def load_slices(sample: Sample, labels: Path) -> tuple[Tensor, Tensor]:
    """All axial slices of a 2 mm T1 and their brain masks: (n, SIDE, SIDE) uint8 and bool, anterior on top."""
    stem = sample.volume.name.split("_T1")[0]
    found = sorted(labels.glob(f"{stem}*"))
    image = nib.as_closest_canonical(nib.load(sample.volume))
    truth = nib.as_closest_canonical(nib.load(found[0]))
    scan = np.asarray(image.dataobj, np.float32)
    brain = np.asarray(truth.dataobj) > 0
    both = []
    for array in (scan, brain.astype(np.float32)):
        planes = torch.from_numpy(array[::-1, ::-1].transpose(2, 1, 0).copy())  # (z, rows, cols)
        rows, cols = SIDE - planes.shape[1], SIDE - planes.shape[2]
        both.append(functional.pad(planes, (cols // 2, cols - cols // 2, rows // 2, rows - rows // 2)))
    return both[0].clamp(0, 255).to(torch.uint8), both[1] > 0.5


class Example:
    """Draws augmented batches from slices that lie one volume after the other."""

    def __init__(self, scans: list[Tensor], brains: list[Tensor], generator: torch.Generator) -> None:
        self.scans, self.brains, self.random = torch.cat(scans), torch.cat(brains), generator

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.random)

    def batch(self, n: int) -> tuple[Tensor, Tensor]:
        """Slices (n, 1, SIDE, SIDE) and masks (n, 1, SIDE, SIDE)."""
        index = torch.randint(NEIGHBOURS, len(self.scans) - NEIGHBOURS, (n,), generator=self.random)
        scans = self.scans[index].float()
        for i, k in enumerate(index.tolist()):
            reach = int(3 * self._rand(1).item())
            scans[i] = self.scans[k - reach : k + reach + 1].float().mean(0)
        scans, brains = scans[:, None] / 255, self.brains[index].float()[:, None]
        inside, outside = self._curve(scans), self._curve(scans)
        as_scanned = self._rand(n, 1, 1, 1) < AS_SCANNED
        scans = torch.where(as_scanned, scans, torch.where(brains > 0.5, inside, outside))
        scans = self._lesions(scans, brains)
        scans, brains = self._moved(scans, brains)
        scans = self._degraded(scans)
        stripped = (self._rand(n, 1, 1, 1) < 0.15).float()
        scans = scans * (1 - stripped + stripped * functional.max_pool2d(brains, 3, 1, 1))
        return normalised(scans), brains

    def _curve(self, scans: Tensor) -> Tensor:
        """A random piecewise linear curve of grey values for each slice; black stays nearly black."""
        n, knots = scans.shape[0], 7
        heights = self._rand(n, knots)
        heights[:, 0] *= 0.1
        place = scans.flatten(1).clamp(0, 1) * (knots - 1) * 0.9999
        left = place.long()
        share = place - left
        low, high = heights.gather(1, left), heights.gather(1, left + 1)
        return (low + share * (high - low)).reshape(scans.shape)

    def _lesions(self, scans: Tensor, brains: Tensor) -> Tensor:
        n = scans.shape[0]
        grid = torch.linspace(-1, 1, SIDE)
        centre, radius = 0.5 * (2 * self._rand(2, n, 1, 1, 1) - 1), 0.03 + 0.22 * self._rand(2, n, 1, 1, 1)
        away = ((grid[:, None] - centre[0]) / radius[0]) ** 2 + ((grid[None, :] - centre[1]) / radius[1]) ** 2
        weight = torch.sigmoid(6 * (1 - away)) * brains * (self._rand(n, 1, 1, 1) < 0.5)
        return scans * (1 - weight) + weight * self._rand(n, 1, 1, 1)

    def _moved(self, scans: Tensor, brains: Tensor) -> tuple[Tensor, Tensor]:
        n = scans.shape[0]
        draw = 2 * self._rand(6, n) - 1
        angle, flip = 0.35 * draw[0], torch.where(draw[1] > 0, 1.0, -1.0)
        wide, tall = 1 + 0.22 * draw[2], 1 + 0.22 * draw[3]
        rows = [
            torch.stack([flip * wide * angle.cos(), -tall * angle.sin(), 0.2 * draw[4]], 1),
            torch.stack([flip * wide * angle.sin(), tall * angle.cos(), 0.2 * draw[5]], 1),
        ]
        grid = functional.affine_grid(torch.stack(rows, 1), [n, 1, SIDE, SIDE], align_corners=False)
        moved = functional.grid_sample(torch.cat([scans, brains], 1), grid, align_corners=False)
        return moved[:, :1], (moved[:, 1:] > 0.5).float()

    def _degraded(self, scans: Tensor) -> Tensor:
        n = scans.shape[0]
        field = functional.interpolate(self._rand(n, 1, 4, 4), (SIDE, SIDE), mode="bicubic", align_corners=True)
        scans = scans * (0.7 + 0.6 * field)
        soft = functional.avg_pool2d(scans, 3, 1, 1)
        scans = torch.lerp(scans, soft, self._rand(n, 1, 1, 1))
        noise = torch.randn(scans.shape, generator=self.random) * 0.06 * self._rand(n, 1, 1, 1)
        return (scans + noise).abs()  # magnitude images have no negative values


def dice_and_cross_entropy(logits: Tensor, brains: Tensor) -> Tensor:
    """Soft Dice loss of each slice plus binary cross-entropy."""
    p = logits.sigmoid()
    overlap = (2 * (p * brains).sum((1, 2, 3)) + 1) / (p.sum((1, 2, 3)) + brains.sum((1, 2, 3)) + 1)
    # Slices below the brain are only learned from the cross-entropy: their overlap is next to nothing for any guess.
    return (1 - overlap).mean() + 3 * functional.binary_cross_entropy_with_logits(logits, brains)


def fit(cohort: Path, labels: Path, out: Path, iterations: int, report: Report = silent) -> float:
    """Train, write out/weights.safetensors (float16); returns the seconds it took."""
    started = time.monotonic()
    samples = read_cohort(cohort).select(split="train").samples
    pairs = [load_slices(sample, labels) for sample in samples]
    torch.manual_seed(0)
    network, random = BrainNetwork(), torch.Generator().manual_seed(0)
    examples = Example([scan for scan, _ in pairs], [brain for _, brain in pairs], random)
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-4)

    def step(_: int) -> dict[str, float]:
        scans, brains = examples.batch(BATCH)
        loss = dice_and_cross_entropy(network(scans), brains)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return {"loss": loss.item()}

    state = TrainingState({"network": network}, {"adam": optimiser}, random)
    train(
        state, step, iterations, out / "checkpoint", checkpoint_every=100, resume=True,
        rate=linear_decay(iterations), report=report,
    )  # fmt: skip
    weights = {key: value.half().contiguous() for key, value in network.state_dict().items()}
    save_file(weights, out / "weights.safetensors", metadata={"pixel_mm": str(PIXEL_MM), "side": str(SIDE)})
    return time.monotonic() - started


def main(
    cohort: Path,
    labels: Path,
    out: Annotated[Path, typer.Option(help="Folder for the weights and the checkpoint.")],
    iterations: int = 3000,
) -> None:
    """Train the network of the brain mask."""

    def report(done: int, total: int, text: str) -> None:
        if done % 50 == 0:
            sys.stderr.write(f"{done}/{total} {text}\n")

    seconds = fit(cohort, labels, out, iterations, report)
    sys.stdout.write(f"{out / 'weights.safetensors'} after {seconds:.0f} s\n")


if __name__ == "__main__":
    typer.run(main)
