"""A head to be scanned: the MNI152 brain made individual, in a skull and scalp of our own making.

Everything lies on the template's own grid: 1 mm voxels, RAS+ axes. Smooth fields are made on a coarse grid first,
which is what keeps the whole study within seconds.
"""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engines.errors import KnownError

Field = NDArray[np.float32]

TEMPLATE_NAME = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
COARSE_MM = 2
# A real brain differs from the template by several millimetres, and its two halves from each other.
WARP_MM = ((18.0, 2.4), (6.0, 1.1))  # (smoothness, size) of each part of the warp
SKULL_MM, HEAD_MM, SKIN_MM, SCALP_MM = 6.5, 13.5, 1.6, 7.0


@dataclass(frozen=True, slots=True, eq=False)
class Brain:
    """Fractions (0..1) of each tissue in every voxel, on a 1 mm RAS+ grid.

    t1: the template's own T1 contrast, 0..1, which carries the deep nuclei better than the fractions do.
    """

    t1: Field
    grey: Field
    white: Field
    affine: NDArray[np.float64]

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Voxels of the brain, its inner fluid included."""
        return self.t1 > 0.05

    @property
    def fluid(self) -> Field:
        """What is neither grey nor white inside the brain."""
        fluid: Field = np.where(self.inside, np.clip(1 - self.grey - self.white, 0, 1), 0).astype(np.float32)
        return fluid


@dataclass(frozen=True, slots=True, eq=False)
class Wrapping:
    """What surrounds the brain: distances in millimetres and a symmetric texture, on the brain's grid.

    outside_brain: distance from the smoothed brain surface, 0 inside. depth: distance below the skin, 0 in air.
    texture: about -1..1, the same on both sides as faces are. fine: the same with finer grain, not symmetric.
    """

    outside_brain: Field
    depth: Field
    texture: Field
    fine: Field


def template_folder() -> Path:
    """Where the nilearn package keeps the MNI152 templates; nothing is downloaded and nilearn is not imported."""
    spec = importlib.util.find_spec("nilearn")
    places = [Path(place) / "datasets" / "data" for place in (spec.submodule_search_locations if spec else None) or ()]
    folder = next((place for place in places if (place / TEMPLATE_NAME.format("t1")).exists()), None)
    if folder is None:
        raise KnownError(
            "The sample study needs the brain template that the nilearn package carries, and it is not installed.",
            "Install it with: pip install 'brainviewer[demo]'.",
        )
    return folder


def load_template() -> Brain:
    """The MNI152 brain as it is packaged: symmetric, an average of 152 people."""
    folder = template_folder()
    images = {name: nib.load(folder / TEMPLATE_NAME.format(name)) for name in ("t1", "gm", "wm")}
    t1, grey, white = (np.asarray(images[name].dataobj, np.float32) / np.float32(255) for name in ("t1", "gm", "wm"))
    return Brain(t1, grey, white, images["t1"].affine)


def coarse_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the coarse grid that covers a grid of this shape."""
    return tuple(-(-length // COARSE_MM) for length in shape)


def refine(coarse: Field, shape: tuple[int, ...]) -> Field:
    """A smooth coarse field on the fine grid, by linear interpolation along one axis after the other."""
    for axis, length in enumerate(shape):
        place = np.minimum(np.arange(length) / COARSE_MM, coarse.shape[axis] - 1)
        low = np.minimum(place.astype(int), coarse.shape[axis] - 2)
        weight = (place - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        coarse = coarse.take(low, axis) * (1 - weight) + coarse.take(low + 1, axis) * weight
    return coarse


def smooth_noise(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> Field:
    """Random field of unit deviation that varies over `sigma` voxels."""
    field: Field = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), sigma, mode="wrap", truncate=3)
    field /= field.std()
    return field


def individual_warp(shape: tuple[int, ...], rng: np.random.Generator) -> Field:
    """Smooth random displacement in mm, (3, coarse grid), that makes a person out of the template."""
    coarse = coarse_shape(shape)
    warp = np.zeros((3, *coarse), np.float32)
    for axis in range(3):
        for smooth_mm, size_mm in WARP_MM:
            warp[axis] += size_mm * smooth_noise(coarse, smooth_mm / COARSE_MM, rng)
    return warp


def warped(brain: Brain, displacement: Field) -> Brain:
    """The brain with each voxel taken from `displacement` mm away (displacement on the coarse grid)."""
    shape = brain.t1.shape
    # Only the box around the brain is resampled: air stays air.
    box = ndimage.find_objects(ndimage.binary_dilation(brain.inside[::8, ::8, ::8], iterations=2).astype(np.uint8))[0]
    box = tuple(slice(max(0, 8 * part.start), min(8 * part.stop, n)) for part, n in zip(box, shape, strict=True))
    places = np.stack(np.meshgrid(*(np.arange(part.start, part.stop, dtype=np.float32) for part in box), indexing="ij"))
    for axis in range(3):
        places[axis] += refine(displacement[axis], shape)[box]

    def move(field: Field) -> Field:
        whole = np.zeros(shape, np.float32)
        whole[box] = ndimage.map_coordinates(field, places, order=1, prefilter=False)
        return whole

    with ThreadPoolExecutor() as pool:  # scipy lets go of the interpreter lock meanwhile
        t1, grey, white = pool.map(move, (brain.t1, brain.grey, brain.white))
    return Brain(t1, grey, white, brain.affine)


def millimetres(shape: tuple[int, ...], affine: NDArray[np.float64]) -> list[Field]:
    """Right, anterior and superior coordinate of the coarse grid's voxels, each shaped to broadcast."""
    axes = []
    for axis, length in enumerate(coarse_shape(shape)):
        line = affine[axis, 3] + COARSE_MM * np.arange(length, dtype=np.float32)
        axes.append(line.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)]))
    return axes


def wrap(brain: Brain, rng: np.random.Generator) -> Wrapping:
    """Distances that lay out fluid, skull, face and scalp around a brain."""
    shape = brain.t1.shape
    step = slice(None, None, COARSE_MM)
    inside = brain.inside[step, step, step].astype(np.float32)
    hull = ndimage.gaussian_filter(ndimage.binary_closing(inside, iterations=8).astype(np.float32), 4) > 0.42
    outside_brain = ndimage.distance_transform_edt(~hull).astype(np.float32) * COARSE_MM

    x, y, z = millimetres(shape, brain.affine)
    # The face and neck continue the outline of the head downwards, narrowing slowly.
    narrow = 1 + np.clip(-z - 30, 0, None) / 400
    lower = ((x / 72 * narrow) ** 2 + ((y + 14) / 100 * narrow) ** 2 < 1) & (z < -12)
    head = ndimage.gaussian_filter(((outside_brain < HEAD_MM) | lower).astype(np.float32), 2.5) > 0.5
    depth = ndimage.distance_transform_edt(np.pad(head, ((0, 0), (0, 0), (9, 0)), mode="edge"))[:, :, 9:]

    noise = smooth_noise(inside.shape, 2.2, rng)
    fine = smooth_noise(inside.shape, 1.1, rng)
    texture = np.tanh((noise + noise[::-1]) / 2)
    fields = (outside_brain, depth.astype(np.float32) * COARSE_MM, texture, np.tanh(fine))
    return Wrapping(*(refine(field.astype(np.float32), shape) for field in fields))
