"""A glioma that grows where real ones do: along white matter, up to the fluid, pushing the brain aside.

Growth is the reaction-diffusion model of Swanson et al. 2000 (Cell Proliferation 33:317): cells spread several
times faster in white matter than in grey, not at all in fluid, and multiply until the tissue is full.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brainviewer.demo.anatomy import COARSE_MM, Brain, Field, millimetres, refine, smooth_noise

CENTRE_MM = (33.0, 22.0, 27.0)  # right frontal white matter
PUSH_MM, PUSH_RADIUS_MM = 7.5, 20.0
STEPS, GROWTH, WHITE_SPREAD, GREY_SPREAD = 100, 0.085, 0.13, 0.006  # spread below 1/6, else the steps are unstable
OEDEMA_LEVELS, CORE_LEVELS = (0.06, 0.42), (0.45, 0.75)


@dataclass(frozen=True, slots=True, eq=False)
class Tumour:
    """How much of each voxel is oedema or infiltration, solid core, and cyst (each 0..1)."""

    oedema: Field
    core: Field
    cyst: Field

    @property
    def lesion(self) -> Field:
        """Everything a reader would outline on FLAIR."""
        return np.maximum(np.maximum(self.oedema, self.core), self.cyst)


def mass_effect(brain: Brain) -> Field:
    """Displacement in mm, (3, coarse grid), to sample from so that tissue appears pushed away from the tumour."""
    x, y, z = millimetres(brain.t1.shape, brain.affine)
    away = [axis - centre for axis, centre in zip((x, y, z), CENTRE_MM, strict=True)]
    radius = np.sqrt(away[0] ** 2 + away[1] ** 2 + away[2] ** 2)
    relative = radius / PUSH_RADIUS_MM
    push = PUSH_MM * 2 * relative / (1 + relative**2)

    # Bone does not yield: the push fades out within the last two centimetres before the skull.
    step = slice(None, None, COARSE_MM)
    filled = ndimage.binary_closing(brain.inside[step, step, step], iterations=4)
    room = np.clip(ndimage.distance_transform_edt(filled) * COARSE_MM / 22, 0, 1)
    push = ndimage.gaussian_filter(push * room, 1.5)
    return np.stack([-push * axis / np.maximum(radius, 1e-3) for axis in away]).astype(np.float32)


def _smoothstep(value: Field, low: float, high: float) -> Field:
    t = np.clip((value - low) / (high - low), 0, 1)
    smooth: Field = (t * t * (3 - 2 * t)).astype(np.float32)
    return smooth


def _box(brain: Brain, half_mm: int) -> tuple[slice, slice, slice]:
    """Slices of the coarse grid around the tumour: growth is computed there only."""
    centre = [round((c - origin) / COARSE_MM) for c, origin in zip(CENTRE_MM, brain.affine[:3, 3], strict=True)]
    half = half_mm // COARSE_MM
    x, y, z = (slice(max(c - half, 0), c + half) for c in centre)
    return x, y, z


def _flow(density: Field, spread: Field) -> Field:
    """Change of density in one step: flux between neighbours, each face with the mean spread of its two voxels."""
    change = np.zeros_like(density)
    for axis in range(3):
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        flux = (density[high] - density[low]) * (spread[high] + spread[low]) / 2
        change[low] += flux
        change[high] -= flux
    return change


def _grow(brain: Brain, box: tuple[slice, slice, slice], rng: np.random.Generator) -> Field:
    """Cell density (0..1) on the box of the coarse grid."""
    step = slice(None, None, COARSE_MM)
    white, grey, fluid = (field[step, step, step][box] for field in (brain.white, brain.grey, brain.fluid))
    uneven = np.clip(1 + 0.4 * smooth_noise(white.shape, 2.0, rng), 0.15, 1.25)
    spread = (WHITE_SPREAD * white**2 + GREY_SPREAD * grey) * uneven
    spread = np.where(fluid > 0.5, 0, spread).astype(np.float32)
    vigour = np.where(spread > 0, 0.35 + 0.65 * white, 0).astype(np.float32) * uneven

    density = np.zeros_like(white)
    centre = tuple((c - origin) / COARSE_MM for c, origin in zip(CENTRE_MM, brain.affine[:3, 3], strict=True))
    seed = tuple(round(c) - part.start for c, part in zip(centre, box, strict=True))
    density[tuple(slice(s - 2, s + 3) for s in seed)] = 1
    for _ in range(STEPS):
        density += _flow(density, spread) + GROWTH * density * (1 - density) * vigour
        np.clip(density, 0, 1, out=density)
    return density


def grow(brain: Brain, rng: np.random.Generator) -> Tumour:
    """A tumour in this brain (which should already have been pushed aside by `mass_effect`)."""
    box = _box(brain, 66)
    density = _grow(brain, box, rng)
    rough = smooth_noise(density.shape, 1.6, rng)
    oedema = _smoothstep(ndimage.gaussian_filter(density, 0.5) + 0.02 * rough, *OEDEMA_LEVELS)

    x, y, z = (axis for axis in millimetres(brain.t1.shape, brain.affine))
    near = [x[box[0]] - CENTRE_MM[0], (y[:, box[1]] - CENTRE_MM[1]) * 0.8, (z[:, :, box[2]] - CENTRE_MM[2]) * 0.95]
    radius = np.sqrt(near[0] ** 2 + near[1] ** 2 + near[2] ** 2) + 2.2 * rough
    core = (1 - _smoothstep(radius, 9, 13.5)) * _smoothstep(density, *CORE_LEVELS)
    hollow = np.sqrt((near[0] - 2) ** 2 + (near[1] + 3) ** 2 + (near[2] - 1) ** 2) + 1.2 * rough
    cyst = (1 - _smoothstep(hollow, 3.5, 6.5)) * core
    return Tumour(*(_on_fine_grid(field, brain, box) for field in (oedema, core, cyst)))


def _on_fine_grid(part: NDArray[np.float32], brain: Brain, box: tuple[slice, slice, slice]) -> Field:
    step = slice(None, None, COARSE_MM)
    whole = np.zeros(brain.t1[step, step, step].shape, np.float32)
    whole[box] = part
    return refine(whole, brain.t1.shape)
