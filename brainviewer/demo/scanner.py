"""A simulated scanner: contrast, slices of finite thickness, an uneven coil, noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brainviewer.demo.anatomy import (
    HEAD_MM,
    SCALP_MM,
    SKIN_MM,
    SKULL_MM,
    Brain,
    Field,
    Wrapping,
    coarse_shape,
    refine,
    smooth_noise,
)
from brainviewer.demo.tumour import Tumour


@dataclass(frozen=True, slots=True)
class Contrast:
    """Signal of each tissue, white matter of FLAIR = 50 (the scale of 8-bit clinical FLAIR pictures)."""

    name: str
    grey: float
    white: float
    fluid: float
    bone: float
    marrow: float
    fat: float
    skin: float
    muscle: float
    eye: float
    oedema: float
    core: float
    cyst: float


FLAIR = Contrast("FLAIR", 68, 50, 6, 7, 26, 165, 95, 42, 9, 112, 96, 14)
T1 = Contrast("T1", 88, 128, 28, 12, 90, 205, 110, 78, 30, 78, 72, 34)


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Where the slices lie: shape (columns, rows, slices), affine voxel -> RAS+ mm, thickness of a slice in mm."""

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    thickness_mm: float


@dataclass(frozen=True, slots=True, eq=False)
class Protocol:
    """One series to scan. noise: deviation on the contrast's scale. window: (width, centre) in stored values."""

    number: int
    contrast: Contrast
    grid: Grid
    noise: float
    window: tuple[float, float]


def _ball(brain: Brain, centre_mm: tuple[float, float, float], radii_mm: tuple[float, float, float]) -> Field:
    """Squared distance from a centre in units of the radii (below 1 inside), the same on both sides of the body."""
    total: Field = np.zeros((1, 1, 1), np.float32)
    for axis, (centre, radius) in enumerate(zip(centre_mm, radii_mm, strict=True)):
        line = brain.affine[axis, 3] + np.arange(brain.t1.shape[axis])
        line = np.abs(line) if axis == 0 else line
        square = ((line - centre) / radius) ** 2
        total = total + square.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    return total


def _face(brain: Brain, around: Wrapping, contrast: Contrast) -> Field:
    """Muscle, fat, bone and air below the brain: no anatomy lesson, but the right greys in the right places."""
    texture = around.texture
    face = np.where(texture > 0.45, 0.7 * contrast.fat, np.where(texture > -0.15, contrast.muscle, contrast.bone))
    nose = _ball(brain, (0, 66, -52), (15, 34, 24))
    face = np.where(nose < 1, np.where(texture > 0.2, contrast.muscle, contrast.bone), face)
    for centre, radii, signal in (
        ((31, 54, -40), (19, 26, 17), 0.8 * contrast.fat),
        ((32, 66, -40), (12, 12, 12), contrast.eye),
        ((27, 48, -40), (4, 22, 4), contrast.muscle),
    ):
        face = np.where(_ball(brain, centre, radii) < 1, signal, face)
    return face.astype(np.float32)


def _outside(brain: Brain, around: Wrapping, contrast: Contrast) -> Field:
    """Everything but the brain, from the fluid around it to the skin and the air."""
    d, depth, texture = around.outside_brain, around.depth, around.texture
    signal = _face(brain, around, contrast)
    diploe = np.exp(-(((d - 5.5) / 1.2) ** 2)) * (1 + 0.4 * texture)
    skull = contrast.bone + (contrast.marrow - contrast.bone) * diploe
    signal = np.where(d < SKULL_MM + 0.8 * texture, skull, signal)
    scalp = SKIN_MM + (SCALP_MM - SKIN_MM) * (1 + 0.25 * texture)
    fat = contrast.fat * (1 + 0.10 * around.fine)
    signal = np.where((depth < scalp) & (d > SKULL_MM - 1.5), fat, signal)
    signal = np.where((depth < SKIN_MM) & (d > HEAD_MM / 2), contrast.skin, signal)
    signal = np.where(d < 1.8 + 0.7 * texture, contrast.fluid, signal)
    covered: Field = (np.clip(depth - 0.5, 0, 1) * signal).astype(np.float32)
    return covered


def picture(brain: Brain, around: Wrapping, tumour: Tumour, contrast: Contrast, rng: np.random.Generator) -> Field:
    """Ideal signal on the 1 mm grid, without the scanner's flaws."""
    # Squaring in part sharpens the borders that averaging 152 people has blurred.
    grey, white = brain.grey * (0.6 + 0.4 * brain.grey), brain.white * (0.6 + 0.4 * brain.white)
    fluid = np.clip(brain.fluid * 1.5, 0, 1)
    total = grey + white + fluid + 1e-6
    tissue = (contrast.grey * grey + contrast.white * white + contrast.fluid * fluid) / total
    if contrast is T1:
        # The template is a T1 picture itself: its own grey levels hold more than the three classes do.
        tissue = 0.35 * tissue + 0.65 * contrast.white * brain.t1 / 0.86
    coarse = coarse_shape(brain.t1.shape)
    tissue *= 1 + 0.035 * refine(smooth_noise(coarse, 1.0, rng), brain.t1.shape)

    grain = refine(smooth_noise(coarse, 1.5, rng), brain.t1.shape)
    solid = 1 - 0.85 * fluid / total
    for amount, value, contrast_of_grain in (
        (tumour.oedema * solid * 0.92, contrast.oedema, 0.07),
        (tumour.core, contrast.core, 0.16),
        (tumour.cyst, contrast.cyst, 0.05),
    ):
        tissue += amount * (value * (1 + contrast_of_grain * grain) - tissue)
    edge = ndimage.uniform_filter(brain.inside.astype(np.float32), 3)
    whole = edge * tissue + (1 - edge) * _outside(brain, around, contrast)
    # The coil ends at the neck.
    height = brain.affine[2, 3] + np.arange(brain.t1.shape[2])
    reach = 1 / (1 + np.exp(-(height + 58) / 4))
    received: Field = (whole * reach.astype(np.float32)).astype(np.float32)
    return received


def sample(field: Field, affine: NDArray[np.float64], grid: Grid) -> Field:
    """A field of the 1 mm grid on the scanner's grid, averaged over the thickness of each slice."""
    to_voxels = np.linalg.inv(affine) @ grid.affine
    spacing = np.linalg.norm(grid.affine[:3, 2])
    parts = max(1, round(grid.thickness_mm / 0.9))
    total: Field = np.zeros(grid.shape, np.float32)
    for part in range(parts):
        shift = ((part + 0.5) / parts - 0.5) * grid.thickness_mm / spacing
        offset = to_voxels[:3, :3] @ [0, 0, shift] + to_voxels[:3, 3]
        total += ndimage.affine_transform(
            field, to_voxels[:3, :3], offset, output_shape=grid.shape, order=1, prefilter=False
        )
    total /= parts
    return total


def acquire(
    ideal: Field, affine: NDArray[np.float64], grid: Grid, noise: float, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """The picture as a scanner would store it: coil shading, Rician noise, whole numbers."""
    signal = sample(ideal, affine, grid)
    coarse = tuple(-(-length // 8) for length in grid.shape[:2])
    lines = [np.linspace(-1, 1, length, dtype=np.float32) for length in grid.shape]
    x, y, z = np.meshgrid(*lines, indexing="ij", sparse=True)
    shading = 1 + 0.10 * x - 0.06 * y + 0.05 * z + 0.22 * (x**2 + y**2)
    ripple = ndimage.zoom(smooth_noise(coarse, 6, rng), 8, order=1)[: grid.shape[0], : grid.shape[1], None]
    signal = signal * shading * (1 + 0.025 * ripple)
    real = signal + noise * rng.standard_normal(grid.shape, np.float32)
    other = noise * rng.standard_normal(grid.shape, np.float32)
    stored: NDArray[np.uint16] = np.clip(np.hypot(real, other) * 8, 0, 4095).round().astype(np.uint16)
    return stored
