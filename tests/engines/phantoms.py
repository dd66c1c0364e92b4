"""Brain phantoms drawn in patient space: the same head on any grid, with exact masks, in milliseconds."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

from engines.samples import COLUMNS, Cohort, read_cohort
from engines.volume import Volume

SHAPE = (48, 52, 16)
SPACING_MM = (4.0, 4.0, 8.0)
HALF_AXES_MM = np.array([66.0, 82.0, 56.0])


@dataclass(frozen=True)
class Lesion:
    """A bright ball: centre and radius in millimetres, contrast as a share of the tissue."""

    centre_mm: tuple[float, float, float] = (25.0, 20.0, 10.0)
    radius_mm: float = 18.0
    contrast: float = 1.0


@dataclass(frozen=True)
class Phantom:
    """A volume with the exact masks of brain and lesion on its grid."""

    volume: Volume
    brain: NDArray[np.bool_]
    lesion: NDArray[np.bool_]


def centred_affine(
    shape: tuple[int, int, int] = SHAPE, spacing_mm: tuple[float, float, float] = SPACING_MM, degrees: float = 0.0
) -> NDArray[np.float64]:
    """A grid whose centre is the patient's origin, turned about the left-right axis."""
    turn = np.deg2rad(degrees)
    rotation = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing_mm
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def brain(
    shape: tuple[int, int, int] = SHAPE,
    seed: int = 0,
    lesion: Lesion | None = None,
    affine: NDArray[np.float64] | None = None,
    modality: str = "FLAIR",
) -> Phantom:
    """A textured ellipsoid brain, skull-stripped, with a little noise; another seed is another person."""
    random = np.random.default_rng(seed)
    affine = centred_affine(shape) if affine is None else affine
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    position_mm = index @ affine[:3, :3].T + affine[:3, 3]  # (i, j, k, 3)
    radius = np.linalg.norm(position_mm / (HALF_AXES_MM * random.uniform(0.95, 1.05, 3)), axis=-1)
    inside = radius < 1
    voxels = 100 + _texture(position_mm, random) + np.where(radius > 0.85, -15, 0)
    spot = np.zeros(shape, bool)
    if lesion is not None:
        spot = (np.linalg.norm(position_mm - lesion.centre_mm, axis=-1) < lesion.radius_mm) & inside
        voxels = voxels + 100 * lesion.contrast * spot
    voxels = np.where(inside, np.maximum(voxels + random.normal(0, 2, shape), 1), 0).astype(np.float32)
    return Phantom(Volume(voxels, affine, modality, f"phantom-{seed}"), inside, spot)


def _texture(position_mm: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    waves = np.zeros(position_mm.shape[:3])
    for _ in range(6):
        direction = random.normal(0, 0.12, 3)
        waves += 4 * np.sin(position_mm @ direction + random.uniform(0, 2 * np.pi))
    return waves


def reoriented(volume: Volume, codes: str) -> Volume:
    """The same scan stored in another axis order, such as "PSR"."""
    image = nibabel.Nifti1Image(volume.voxels, volume.affine)
    start = nibabel.io_orientation(volume.affine)
    turn = nibabel.orientations.ornt_transform(start, nibabel.orientations.axcodes2ornt(tuple(codes)))
    turned = image.as_reoriented(turn)
    return Volume(np.asarray(turned.dataobj, np.float32), turned.affine, volume.modality, volume.uid)


def save(folder: Path, name: str, phantom: Phantom) -> tuple[str, str, str]:
    """Write volume and mask; returns their file names and the slice labels along the last axis."""
    nibabel.save(nibabel.Nifti1Image(phantom.volume.voxels, phantom.volume.affine), folder / f"{name}.nii.gz")
    mask = nibabel.Nifti1Image(phantom.lesion.astype(np.uint8), phantom.volume.affine)
    nibabel.save(mask, folder / f"{name}_mask.nii.gz")
    labels = "".join("1" if phantom.lesion[:, :, k].any() else "0" for k in range(phantom.volume.shape[2]))
    return f"{name}.nii.gz", f"{name}_mask.nii.gz", labels


PLAN = (
    ("normal", "train", 4), ("unlabeled", "train", 4), ("abnormal", "train", 2),
    ("normal", "val", 4), ("normal", "test", 3), ("abnormal", "test", 4),
)  # fmt: skip


def write_cohort(folder: Path, plan: tuple[tuple[str, str, int], ...] = PLAN, seed: int = 0) -> Cohort:
    """A cohort of phantoms on disk: every second unlabeled subject and all abnormal ones have a lesion."""
    rows: list[tuple[str, ...]] = []
    random = np.random.default_rng(seed)
    for label, split, count in plan:
        for number in range(count):
            ill = label == "abnormal" or (label == "unlabeled" and number % 2 == 1)
            centre = tuple(random.uniform(-30, 30, 3))
            phantom = brain(seed=seed + len(rows), lesion=Lesion(centre_mm=centre) if ill else None)
            volume, mask, slices = save(folder, f"p{len(rows):02d}", phantom)
            known = label != "unlabeled"
            rows.append(
                (f"p{len(rows):02d}", volume, "FLAIR", label, split, mask if ill and known else "", slices * known)
            )
    with (folder / "phantoms.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return read_cohort(folder / "phantoms.csv")
