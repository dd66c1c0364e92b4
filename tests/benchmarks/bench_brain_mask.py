"""How well the approximate brain mask meets the label maps of held-out IXI subjects.

python -m tests.benchmarks.bench_brain_mask
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

from engines.brain_mask import brain_mask
from engines.files import load_volume, read_volume
from engines.samples import read_cohort


def main() -> None:
    root = Path(os.environ.get("BRAINVIEWER_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    if not (root / "ixi_t1.csv").exists():
        sys.exit(f"There is no IXI cohort in {root}; set BRAINVIEWER_DATA.")
    for split in ("val", "test"):
        rows = []
        for sample in read_cohort(root / "ixi_t1.csv").select(split=split).samples:
            volume = load_volume(sample)
            labels = next((root / "ixi_t1" / "labels").glob(f"{sample.volume.name.split('_T1')[0]}*"))
            truth = read_volume(labels).voxels > 0
            started = time.monotonic()
            mask, _ = brain_mask(volume)
            seconds = time.monotonic() - started
            both = (mask & truth).sum()
            rows.append((2 * both / (mask.sum() + truth.sum()), both / truth.sum(), both / mask.sum(), seconds))
        dice, found, right, seconds = np.mean(rows, 0)
        least = min(row[0] for row in rows)
        print(
            f"{split}: {len(rows)} subjects, Dice {dice:.3f} (lowest {least:.3f}), "
            f"sensitivity {found:.3f}, precision {right:.3f}, {seconds:.1f} s a volume"
        )


if __name__ == "__main__":
    main()
