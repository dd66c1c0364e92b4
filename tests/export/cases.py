"""Runs on real small scans of every kind: classic, oblique, sagittal, tilted, multi-frame and NIfTI."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from brainviewer import reading
from brainviewer.export.deidentify import Deidentifier
from brainviewer.export.order import Order
from brainviewer.jobs.gathering import gather
from brainviewer.study import Study
from brainviewer.study.material import Material
from engines import AnomalyResult, PercentileScale, Provenance, Volume, results
from tests.reading import phantoms

SHAPE = (24, 20, 12)
SPACING_MM = (1.25, 0.75, 2.5)
SAGITTAL = np.array([[1, -1], [2, -1], [0, 1]], float)  # rows run back, columns down, slices to the right


def values() -> NDArray[np.int16]:
    """Every voxel its own value, RAS+ order."""
    return np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE) % 4000 + 10


def affine() -> NDArray[np.float64]:
    """RAS+ axes, oblique."""
    return phantoms.oblique_affine(SPACING_MM)


def heat() -> NDArray[np.float32]:
    """A raw heatmap with two warm places, different in every voxel."""
    i, j, k = np.indices(SHAPE).astype(np.float32)
    made = 0.01 * (i + 2 * j + 3 * k) / 100
    made[4:10, 5:12, 3:7] += 5 + 0.001 * i[4:10, 5:12, 3:7]
    made[14:20, 10:15, 8:10] += 4
    return made.astype(np.float32)


def result_on(volume: Volume, raw: NDArray[np.float32]) -> AnomalyResult:
    """An engine's result with this heatmap; what is above 1 lies above the 99th percentile."""
    region = np.ones(raw.shape, bool)
    region[0] = False
    raw = np.where(region, raw, 0).astype(np.float32)
    scale = PercentileScale(np.array([0.0, 1.0, 4.0, 8.0]), np.array([50.0, 99.0, 99.5, 99.95]))
    axis = volume.slice_axis
    scores = raw.max(axis=tuple(other for other in range(3) if other != axis))
    how = Provenance(
        engine="sagan", model="SAGAN FLAIR 2", model_digest="32b6ead1" * 8, settings={"size": 64}, device="cpu",
        precision="fp32", seconds=2.5, volume_uid=volume.uid, warnings=("Seven healthy subjects only.",),
        versions={"numpy": np.__version__},
    )  # fmt: skip
    return AnomalyResult(
        heatmap=raw, scale=scale, region=region, slice_axis=axis, slice_scores=scores.astype(np.float32),
        slice_percentiles=np.linspace(10, 99, len(scores)).astype(np.float32), score=3.5, score_percentile=97.0,
        threshold=1.0, provenance=how, extras={"restored": raw * 2, "loss": np.array([1.0, 0.5])},
    )  # fmt: skip


def classic(folder: Path, order: NDArray[np.float64] | None = None, change: phantoms.Change | None = None) -> Path:
    """A classic MR series; order: how its voxel axes lie in the patient."""
    from nibabel.orientations import apply_orientation, inv_ornt_aff

    grid, place = values(), affine()
    if order is not None:
        grid, place = apply_orientation(grid, order), place @ inv_ornt_aff(order, SHAPE)
    kept: dict[str, phantoms.Change] = {"change": change} if change is not None else {}
    return phantoms.write_series(folder, grid, place, **kept)


def tilted(folder: Path) -> Path:
    """A series with a tilted gantry: every slice a little further to the front."""
    place = np.diag([*SPACING_MM, 1.0])
    place[1, 2] = 0.6
    return phantoms.write_series(folder, values(), place)


def enhanced(folder: Path) -> Path:
    """One enhanced MR file with its frames in shuffled order."""
    folder.mkdir(parents=True)
    dataset = phantoms.enhanced_dataset(values(), affine())
    return phantoms.save(dataset, folder / "enhanced.dcm")


def nifti(folder: Path) -> Path:
    """The same as NIfTI."""
    folder.mkdir(parents=True)
    return phantoms.write_nifti(folder / "sub-01_FLAIR.nii.gz", values(), affine(), sform=1)


def run_on(source: Path, folder: Path, raw_of: Callable[[Volume], NDArray[np.float32]] | None = None) -> Study:
    """A stored run on the first series of a place; the heatmap lies where `heat` has it, however the axes run."""
    from engines.comparison import on_grid

    study = reading.scan([source])[0]
    volume = reading.load(study.series[0])
    if raw_of is None:
        raw = on_grid(heat(), _truth(study, source), volume.shape, volume.affine, "nearest")
    else:
        raw = raw_of(volume)
    results.write(folder, result_on(volume, raw), volume)
    return study


def _truth(study: Study, source: Path) -> NDArray[np.float64]:
    tilted_grid = any("gantry" in text for text in study.series[0].warnings)
    return np.asarray(study.series[0].affine, float) if tilted_grid else affine()


def material(source: Path, folder: Path, **options: object) -> Material:
    """A run on a scan, gathered."""
    study = run_on(source, folder)
    return gather(folder, study, **options)  # type: ignore[arg-type]


def order(source: Path, folder: Path, deidentify: bool = False, **options: object) -> Order:
    """An order to export a run on a scan."""
    key = Deidentifier(b"k" * 32, "4711") if deidentify else None
    return Order(material(source, folder, **options), key)


def objects(folder: Path) -> list[Dataset]:
    """Every DICOM file of a folder."""
    from pydicom import dcmread

    return [dcmread(path) for path in sorted(folder.rglob("*.dcm"))]
