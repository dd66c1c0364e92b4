"""From a scan to the model's grid in patient axes, centred on the brain, and every map back onto the scan's grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from engines.brain_mask import brain_mask
from engines.errors import BadVolume
from engines.itermask3d.settings import Settings
from engines.orientation import orientation_of
from engines.volume import Volume

LIMIT = 3.0  # grey levels are cut at so many standard deviations; the background has the lowest value
LEAST_VOXELS = 100  # a percentile must be at least one voxel
FWHM = 0.4247  # standard deviation of a Gaussian whose full width at half maximum is one

PERCENTILES = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99)  # of the brain's grey levels, moved to the landmarks
LUMP = 1e-6

Maps = NDArray[np.float32]
Landmarks = tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A scan resampled to the model's grid.

    head: float32 (i, j, k), grey levels in units of their largest, skull and all. brain: bool (i, j, k).
    region: bool on the scan's own grid, the voxels that the model sees as brain. steps: what was done, in words.
    """

    head: Maps
    brain: NDArray[np.bool_]
    region: NDArray[np.bool_]
    steps: tuple[str, ...]
    _to_grid: NDArray[np.float64]

    def to_volume(self, map_: NDArray[Any], order: int = 1) -> NDArray[Any]:
        """A map of the grid on the scan's own grid; order 0 = nearest, 1 = linear; 0 beyond the grid."""
        linear, offset = self._to_grid[:3, :3], self._to_grid[:3, 3]
        mode = "constant" if order == 0 else "nearest"
        found: NDArray[Any] = ndimage.affine_transform(map_, linear, offset, self.region.shape, order=order, mode=mode)
        return found


def prepare(volume: Volume, settings: Settings) -> Grid:
    """The scan on a grid of settings.size voxels along right, front and up, with the brain's box in its middle.

    Raises BadVolume where there is no brain, or where it is too small for the grid's voxels.
    """
    if volume.is_picture:
        raise BadVolume("IterMask3D needs a volume; this is a picture.", "Choose an engine for pictures.")
    voxels = volume.voxels if volume.voxels.ndim == 3 else volume.voxels.mean(-1)
    voxels = np.nan_to_num(voxels, posinf=0, neginf=0)
    largest = float(np.abs(voxels).max())
    found, stripped = brain_mask(volume)
    if largest == 0 or not found.any():
        raise BadVolume("No brain was found in this volume.", "Check that this series is a scan of the head.")
    # All arithmetic in one axis order: the same scan stored in another order gives the same bits.
    order, flips = _canonical(volume.affine)
    turned, mask = (_turn(part, order, flips) for part in (voxels / largest, found))
    turned_affine = volume.affine @ _turning(order, flips, volume.shape)
    from_grid = _grid_in_scan(turned_affine, mask, settings)
    scale = settings.voxel_mm / np.linalg.norm(turned_affine[:3, :3], axis=0)
    # Without this blur fine voxels would alias onto coarse ones.
    blur = FWHM * np.sqrt(np.maximum(scale**2 - 1, 0))
    blurred, weight = (_blurred(part, blur) for part in (turned, mask))
    head, brain = (
        ndimage.affine_transform(part, from_grid[:3, :3], from_grid[:3, 3], settings.size, order=1, mode=mode)
        for part, mode in ((blurred, "nearest"), (weight, "constant"))
    )
    brain = brain > 0.5
    if brain.sum() < LEAST_VOXELS:
        raise BadVolume("The brain is too small for this model's grid.", "Check the voxel size of this series.")
    to_grid = np.linalg.inv(from_grid) @ np.linalg.inv(_turning(order, flips, volume.shape))
    inside = _covered(to_grid, volume.shape, settings.size)
    steps = (
        "brain mask from the skull-stripped scan" if stripped else "approximate brain mask",
        f"{'x'.join(map(str, settings.size))} voxels of {settings.voxel_mm:g} mm around the brain's box",
        f"grey levels in standard deviations of the brain, cut at {LIMIT:g}"
        + (", their percentiles moved to healthy ones" if settings.landmarks else ""),
    )
    return Grid(head.astype(np.float32), brain, found & inside, steps, to_grid)


def normalised(head: Tensor, brain: Tensor, landmarks: Landmarks = (), like: Tensor | None = None) -> Tensor:
    """Grey levels in standard deviations of the brain, cut at LIMIT, the background at -LIMIT: (i, j, k).

    Mean and deviation are those of the brain's voxels within three deviations of the first mean. With landmarks the
    brain's percentiles are then moved to them, by straight lines between (Nyúl, Udupa, Zhang, "New variants of a method
    of MRI scale standardization", IEEE TMI 19:143, 2000), so that every scanner shows the same contrast. All of it is
    measured on the head `like` where one is given. Raises BadVolume where the brain has one grey level only.
    """
    own = head if like is None else like
    values = own[brain].double()
    mean, deviation = values.mean(), values.std()
    usual = values[(values - mean).abs() <= LIMIT * deviation]
    if not deviation > 0 or not usual.std() > 0:
        raise BadVolume("The brain has one grey level only in this volume.", "Choose another series.")
    middle, spread = usual.mean(), usual.std()
    standard = ((head.double() - middle) / spread).clamp(-LIMIT, LIMIT)
    if landmarks:
        standard = _moved(standard, percentiles(((values - middle) / spread).clamp(-LIMIT, LIMIT)), landmarks)
    return torch.where(brain, standard, -LIMIT).to(head.dtype)


def percentiles(values: Tensor) -> Tensor:
    """Those of PERCENTILES: float64."""
    ordered = values.double().sort().values
    at = torch.tensor(PERCENTILES, dtype=torch.float64, device=values.device) / 100 * (len(ordered) - 1)
    return torch.lerp(ordered[at.floor().long()], ordered[at.ceil().long()], at.frac())


def _moved(values: Tensor, own: Tensor, wanted: Landmarks) -> Tensor:
    """Values with the percentiles `own` moved to `wanted`; the ends of the scale stay."""
    ends = own.new_tensor([-LIMIT, LIMIT])
    # Equal percentiles (a lump of one grey level) would leave a line without a slope.
    own = own + LUMP * torch.arange(1, len(own) + 1, device=own.device)
    before = torch.cat([ends[:1] - LUMP, own, ends[1:] + LUMP * (len(own) + 2)])
    after = torch.cat([ends[:1], own.new_tensor(wanted), ends[1:]])
    place = torch.searchsorted(before, values.contiguous()).clamp(1, len(before) - 1)
    low, high = before[place - 1], before[place]
    return torch.lerp(after[place - 1], after[place], ((values - low) / (high - low)).clamp(0, 1))


def _canonical(affine: NDArray[np.float64]) -> tuple[list[int], list[bool]]:
    """Voxel axes in the order right, front, up, and which of them run backwards."""
    orientation = orientation_of(affine)
    order = [int(np.flatnonzero(orientation[:, 0] == axis)[0]) for axis in range(3)]
    return order, [bool(orientation[axis, 1] < 0) for axis in order]


def _turn(array: NDArray[np.generic], order: list[int], flips: list[bool]) -> NDArray[np.generic]:
    turned = array.transpose(order)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    return np.ascontiguousarray(turned)


def _turning(order: list[int], flips: list[bool], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """4x4: index in the turned array -> index in the scan's array."""
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    for axis, (source, flip) in enumerate(zip(order, flips, strict=True)):
        matrix[source, axis] = -1 if flip else 1
        matrix[source, 3] = shape[source] - 1 if flip else 0
    return matrix


def _grid_in_scan(affine: NDArray[np.float64], mask: NDArray[np.generic], settings: Settings) -> NDArray[np.float64]:
    """4x4: index on the model's grid -> index in the turned scan.

    The middle of the brain's box, rounded to a whole voxel: a scan of the grid's own voxel size is not interpolated.
    """
    box = [np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    middle = np.array([(inside[0] + inside[-1] + 1) // 2 for inside in box])
    grid = np.diag([*[settings.voxel_mm] * 3, 1.0])
    grid[:3, 3] = affine[:3, :3] @ middle + affine[:3, 3] - settings.voxel_mm * (np.array(settings.size) // 2)
    return np.asarray(np.linalg.inv(affine) @ grid, np.float64).round(9)


def _blurred(array: NDArray[np.generic], sigma: NDArray[np.float64]) -> Maps:
    values = array.astype(np.float32)
    return ndimage.gaussian_filter(values, sigma, mode="nearest") if (sigma > 0).any() else values


def _covered(to_grid: NDArray[np.float64], shape: tuple[int, ...], size: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Voxels of the scan that lie on the model's grid."""
    inside = np.ones(shape, bool)
    i, j, k = np.ogrid[tuple(slice(n) for n in shape)]
    for axis in range(3):
        at = to_grid[axis, 0] * i + to_grid[axis, 1] * j + to_grid[axis, 2] * k + to_grid[axis, 3]
        inside &= (at > -0.5) & (at < size[axis] - 0.5)
    return inside
