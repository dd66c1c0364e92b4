"""Makes the cohort on which the T1 models are judged: BraTS 2021 T1 at 2 mm, with healthy IXI test subjects beside.

    python -m tests.benchmarks.brats_2mm DATA OUT

DATA holds brats2021.csv and ixi_t1.csv. OUT/brats2mm.csv and its volumes are written: scans averaged to 2 mm, voxels
kept where most of them were brain, lesions by majority.
"""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
import typer
from torch.nn import functional

from engines.blocks.coarse import coarsened
from engines.files import load_mask, load_volume
from engines.samples import COLUMNS, read_cohort


def make(data: Path, out: Path) -> None:
    """Write the volumes and brats2mm.csv."""
    out.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, ...]] = []
    for sample in read_cohort(data / "brats2021.csv").samples:
        if sample.modality != "T1":
            continue
        volume = load_volume(sample)
        lesion = load_mask(sample, volume)
        assert lesion is not None
        small = coarsened(volume, 2.0).volume
        brain, mask = (_majority(part, small.shape) for part in (volume.voxels != 0, lesion))
        scan, drawn = f"{sample.subject}_t1.nii.gz", f"{sample.subject}_seg.nii.gz"
        nib.save(nib.Nifti1Image((small.voxels * brain).astype(np.float32), small.affine), out / scan)
        nib.save(nib.Nifti1Image(mask.astype(np.uint8), small.affine), out / drawn)
        rows.append((sample.subject, scan, "T1", "abnormal", "test", drawn, ""))
    for sample in read_cohort(data / "ixi_t1.csv").select(split="test").samples:
        rows.append((sample.subject, str(sample.volume.resolve()), "T1", "normal", "test", "", ""))
    with (out / "brats2mm.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([tuple(COLUMNS), *rows])


def _majority(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    share = functional.interpolate(torch.from_numpy(mask.astype(np.float32))[None, None], shape, mode="area")
    return np.asarray(share[0, 0].numpy() > 0.5)


if __name__ == "__main__":
    typer.run(make)
