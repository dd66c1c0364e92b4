"""How fast reading is beside plain pydicom on the same files: `python -m tests.benchmarks.bench_reading`.

Scans 1,000 headers (classic MR slices with private data as scanners write them) and opens a 300-slice 512x512
series of 16-bit pixels. Files are in the page cache for both sides; the best of three runs counts. Processor
seconds are printed beside wall-clock seconds: on a busy machine only they can be compared between days.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless, RLELossless

from brainviewer import reading
from engines import silent
from tests.reading import phantoms

AXIAL = phantoms.LPS @ np.diag([0.45, 0.45, 0.6, 1.0])
RUNS = 3


def scanner_like(dataset: Dataset, _k: int) -> None:
    """As many elements as a real header has: 90 private ones and a sequence."""
    block = dataset.private_block(0x0019, "SCANNER", create=True)
    for offset in range(90):
        block.add_new(offset, "LO", f"private value {offset}")
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3"
    dataset.ReferencedImageSequence = [item, item, item]


def best(function: Callable[[], object]) -> tuple[float, float]:
    """(wall-clock, processor) seconds of the fastest run of each kind."""
    wall, processor = [], []
    for _ in range(RUNS):
        start, start_processor = time.perf_counter(), time.process_time()
        function()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_processor)
    return min(wall), min(processor)


def plain_headers(folder: Path) -> int:
    """What a careful script with pydicom would do: read every header and the geometry in it."""
    found = [pydicom.dcmread(path, stop_before_pixels=True) for path in folder.rglob("*") if path.is_file()]
    return len(sorted(found, key=lambda dataset: float(dataset.ImagePositionPatient[2])))


def plain_volume(folder: Path) -> np.ndarray:
    """The usual few lines: read, sort, stack as float32."""
    found = [pydicom.dcmread(path) for path in folder.iterdir()]
    found.sort(key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    return np.stack([dataset.pixel_array.astype(np.float32) for dataset in found])


def opened(folder: Path) -> np.ndarray:
    """Scan and load as the reading worker does."""
    (study,) = reading.scan([folder])
    return reading.load(study.series[0]).voxels


def first_slice_seconds(folder: Path) -> float:
    """Seconds from the folder to the first decoded slice."""
    start = time.perf_counter()
    first: list[float] = []

    def report(_done: int, _total: int, text: str) -> None:
        if text.startswith("Slice") and not first:
            first.append(time.perf_counter() - start)

    (study,) = reading.scan([folder], silent)
    reading.load(study.series[0], report)
    return first[0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--headers", type=int, default=1000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        phantoms.write_series(root / "headers", np.zeros((32, 32, chosen.headers), np.int16), AXIAL, scanner_like)
        rows = [
            (
                f"scan {chosen.headers} headers",
                best(lambda: reading.scan([root / "headers"])),
                best(lambda: plain_headers(root / "headers")),
            )
        ]
        noise = np.random.default_rng(0).integers(0, 3000, (512, 512, chosen.slices), np.int16)
        phantoms.write_series(root / "series", noise, AXIAL, scanner_like)
        np.testing.assert_array_equal(opened(root / "series"), plain_volume(root / "series").transpose(2, 1, 0))
        title = f"open {chosen.slices} slices 512x512"
        rows.append((title, best(lambda: opened(root / "series")), best(lambda: plain_volume(root / "series"))))
        shown = first_slice_seconds(root / "series")
        smooth = (np.add.outer(np.arange(512), np.arange(512))[..., None] + np.arange(20)).astype(np.int16)
        for name, syntax in (("RLE", RLELossless), ("JPEG-LS", JPEGLSLossless)):
            packed = root / name
            phantoms.write_series(packed, smooth, AXIAL, lambda dataset, _k, syntax=syntax: dataset.compress(syntax))
            rows.append(
                (f"open 20 slices, {name}", best(lambda p=packed: opened(p)), best(lambda p=packed: plain_volume(p)))
            )
    print(f"{'seconds: wall (processor)':32}{'BrainViewer':>16}{'pydicom':>16}")
    for title, ours, theirs in rows:
        print(f"{title:32}{ours[0]:8.2f} ({ours[1]:.2f}){theirs[0]:8.2f} ({theirs[1]:.2f})")
    wall, processor = (chosen.headers / seconds for seconds in rows[0][1])
    print(f"headers a second: {wall:.0f} ({processor:.0f} a processor second); first slice after {shown:.2f} s")
    print(f"largest memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
