"""What goes wrong in a scanner, simulated: corrupted volumes for evaluation, quality control and the demo.

Every kind takes a volume of grey levels from zero on (right, front, up), a severity from 0 (unchanged) to 1 and a
random generator, and works in three dimensions on the volume's device. The strengths are ours: at severity 0.5 a reader
sees the artefact at once. Ideas after TorchIO (Perez-Garcia et al. 2021) and Ravi et al. 2023.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from engines.errors import BadInput

PHASE = 1  # phase encoding runs from back to front: ghosts, folding, motion and distortion follow it
Artefact = Callable[[Tensor, float, torch.Generator], Tensor]


def corrupted(volume: Tensor, kind: str, severity: float, seed: int) -> Tensor:
    """The volume (i, j, k) with one of ARTEFACTS; a new tensor, the same again for the same seed."""
    if kind not in ARTEFACTS:
        raise BadInput(f"There is no artefact '{kind}'.", f"Choose one of {', '.join(ARTEFACTS)}.")
    if not 0 <= severity <= 1:
        raise BadInput(f"A severity lies between 0 and 1, not at {severity:g}.")
    if severity == 0:
        return volume.clone()
    random = torch.Generator(volume.device).manual_seed(seed)
    return ARTEFACTS[kind](volume, severity, random).clamp_min(0)


def corrupted_array(volume: NDArray[np.floating], kind: str, severity: float, seed: int) -> NDArray[np.float32]:
    """The same for an array, on the CPU; what is below zero counts as zero."""
    grey = torch.from_numpy(np.ascontiguousarray(volume, np.float32)).clamp_min(0)
    return np.asarray(corrupted(grey, kind, severity, seed))


def missing_top(volume: Tensor, severity: float, random: torch.Generator) -> Tensor:
    """The highest slices of the head are empty: up to 30 % of its height."""
    return _emptied(volume, 2, 1.0, 0.3 * severity)


def missing_middle(volume: Tensor, severity: float, random: torch.Generator) -> Tensor:
    """A slab across the middle of the head is empty: up to 30 % of its length."""
    return _emptied(volume, 1, 0.5, 0.3 * severity)


def noise(volume: Tensor, severity: float, random: torch.Generator) -> Tensor:
    """Rician noise: magnitude of the signal with complex Gaussian noise of up to a tenth of the brightest voxel."""
    sigma = 0.1 * severity * volume.max()
    real, imaginary = (sigma * _normal(random, *volume.shape) for _ in range(2))
    return torch.sqrt((volume + real).square() + imaginary.square())


def zipper(volume: Tensor, severity: float, random: torch.Generator) -> Tensor:
    """Radio interference: three bands of noise across the head at fixed readout positions, in every slice."""
    out = volume.clone()
    width = 1 + round(3 * severity)
    for _ in range(3):
        column = int(volume.shape[0] * (0.2 + 0.6 * _uniform(random)))
        band = out[column : column + width]
        band += severity * 0.7 * volume.max() * _normal(random, *band.shape).abs()
    return out


def bias_field(volume: Tensor, severity: float, random: torch.Generator) -> Tensor:
    """Uneven sensitivity of the coil: exp of a cubic polynomial, its 20 coefficients up to 0.2, from any corner."""
    axes = [torch.linspace(-1, 1, n, device=volume.device) for n in volume.shape]
    axes = [axis if _uniform(random) < 0.5 else -axis for axis in axes]
    x, y, z = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    field = torch.zeros_like(volume)
    for i in range(4):
        for j in range(4 - i):
            for k in range(4 - i - j):
                field += x**i * y**j * z**k
    return volume * torch.exp(0.2 * severity * field)


def spike(volume: Tensor, severity: float, random: torch.Generator) -> Tensor:
    """A bad data point: one wave through the whole volume, its amplitude up to twice the mean grey level."""
    direction = _normal(random, 3)
    bins = 15 * direction / direction.norm()  # waves of 13 mm in a field of 192 mm
    phase = 2 * math.pi * _uniform(random) * torch.ones_like(volume)
    for axis, n in enumerate(volume.shape):
        shape = [1, 1, 1]
        shape[axis] = n
        turns = torch.round(bins[axis]) / n
        phase = phase + 2 * math.pi * turns * torch.arange(n, device=volume.device).view(shape)
    return (volume + 2 * severity * volume.mean() * torch.cos(phase)).abs()


def ghosting(volume: Tensor, severity: float, random: torch.Generator) -> Tensor:
    """Every fourth line of k-space is weaker, up to upside down: four faint copies along the phase direction."""
    spectrum = torch.fft.fft(volume, dim=PHASE)
    n = volume.shape[PHASE]
    factor = torch.ones(n, device=volume.device)
    factor[2::4] = 1 - 2 * severity
    factor[_bins(n, volume.device) <= max(1, round(0.01 * n))] = 1
    return _magnitude(torch.fft.ifft(spectrum * factor[None, :, None], dim=PHASE))


def motion(volume: Tensor, severity: float, random: torch.Generator) -> Tensor:
    """The head moved during the scan: a third of the lines come from a copy turned by up to 10 degrees and shifted."""
    moved = _moved(volume, 10 * severity * _sign(random), 0.06 * severity * _sign(random))
    n = volume.shape[PHASE]
    later = torch.rand(n, generator=random, device=volume.device) < 0.35
    later &= _bins(n, volume.device) > 3  # the middle of k-space decides on the contrast: it was still
    still, other = torch.fft.fft(volume, dim=PHASE), torch.fft.fft(moved, dim=PHASE)
    return _magnitude(torch.fft.ifft(torch.where(later[None, :, None], other, still), dim=PHASE))


def gibbs(volume: Tensor, severity: float, random: torch.Generator) -> Tensor:
    """Too few lines: k-space is cut off in-plane down to a seventh, which blurs and rings."""
    spectrum = torch.fft.fftn(volume, dim=(0, 1))
    kept = math.exp(-2 * severity)
    for axis in (0, 1):
        n = volume.shape[axis]
        shape = [1, 1, 1]
        shape[axis] = n
        spectrum = spectrum * (_bins(n, volume.device) <= kept * n / 2).view(shape)
    return _magnitude(torch.fft.ifftn(spectrum, dim=(0, 1)))


def blur(volume: Tensor, severity: float, random: torch.Generator) -> Tensor:
    """Out of focus: a Gaussian of up to three voxels."""
    out = volume[None, None]
    sigma = 3 * severity
    reach = math.ceil(4 * sigma)
    offsets = torch.arange(-reach, reach + 1, device=volume.device, dtype=volume.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma).square())
    kernel = kernel / kernel.sum()
    for axis in range(3):
        shape, padding = [1] * 5, [0] * 3
        shape[axis + 2], padding[axis] = len(kernel), reach
        out = functional.conv3d(out, kernel.view(shape), padding=padding)
    return out[0, 0]


def folding(volume: Tensor, severity: float, random: torch.Generator) -> Tensor:
    """The field of view is smaller than the head, down to 60 %: what lies beyond it folds over to the other side."""
    n = volume.shape[PHASE]
    low, high = _extent(volume, PHASE)
    field = round((1 - 0.4 * severity) * (high - low))
    first = (low + high - field) // 2
    out = torch.zeros_like(volume)
    for position in range(n):
        out[:, first + (position - first) % field] += volume[:, position]
    return out


def distortion(volume: Tensor, severity: float, random: torch.Generator) -> Tensor:
    """Uneven field: tissue shifted along the phase direction, up to a tenth of the field; bright where it piles up."""
    coarse = _normal(random, 1, 1, 5, 5, 5)
    field = functional.interpolate(coarse, volume.shape, mode="trilinear", align_corners=True)[0, 0]
    shift = 0.1 * severity * 2 * field / field.abs().max()  # of an axis that runs from -1 to 1
    grid = _identity(volume)
    grid[..., 2 - PHASE] += shift
    pile = (1 + torch.gradient(shift, dim=PHASE)[0] * volume.shape[PHASE] / 2).clamp_min(0)
    return _sampled(volume, grid) * pile


ARTEFACTS: dict[str, Artefact] = {
    function.__name__: function
    for function in (
        missing_top, missing_middle, noise, zipper, bias_field, spike, ghosting, motion, gibbs, blur, folding,
        distortion,
    )
}  # fmt: skip


def _uniform(random: torch.Generator) -> float:
    return float(torch.rand((), generator=random, device=random.device))


def _normal(random: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=random, device=random.device)


def _sign(random: torch.Generator) -> float:
    return 1.0 if _uniform(random) < 0.5 else -1.0


def _bins(n: int, device: torch.device) -> Tensor:
    """Distance of each bin of an FFT from zero frequency: (n,)."""
    index = torch.arange(n, device=device)
    return torch.minimum(index, n - index)


def _magnitude(signal: Tensor) -> Tensor:
    size: Tensor = signal.abs()
    return size


def _extent(volume: Tensor, axis: int) -> tuple[int, int]:
    """Where the head begins and ends (exclusive) along an axis."""
    others = [other for other in range(3) if other != axis]
    inside = (volume > 0.1 * volume.max()).amax(others).nonzero()
    return int(inside[0]), int(inside[-1]) + 1


def _emptied(volume: Tensor, axis: int, at: float, share: float) -> Tensor:
    """A slab at the relative position `at` of the head along `axis` set to zero."""
    low, high = _extent(volume, axis)
    thick = max(1, round(share * (high - low)))
    out = volume.clone()
    out.narrow(axis, low + round(at * (high - low - thick)), thick).zero_()
    return out


def _identity(volume: Tensor) -> Tensor:
    """Sampling grid (i, j, k, 3) of grid_sample that changes nothing; its last axis runs k, j, i."""
    matrix = torch.eye(3, 4, device=volume.device)[None]
    return functional.affine_grid(matrix, [1, 1, *volume.shape], align_corners=False)[0]


def _moved(volume: Tensor, degrees: float, shift: float) -> Tensor:
    """Turned in the axial plane and shifted to the front by a share of half the field."""
    turn = math.radians(degrees)
    proportion = volume.shape[0] / volume.shape[1]
    matrix = torch.eye(3, 4, device=volume.device)
    # Rows and columns of affine_grid run k, j, i; each axis from -1 to 1, hence the proportions.
    matrix[1, 1] = matrix[2, 2] = math.cos(turn)
    matrix[1, 2], matrix[2, 1] = -math.sin(turn) * proportion, math.sin(turn) / proportion
    matrix[1, 3] = shift
    return _sampled(volume, functional.affine_grid(matrix[None], [1, 1, *volume.shape], align_corners=False)[0])


def _sampled(volume: Tensor, grid: Tensor) -> Tensor:
    return functional.grid_sample(volume[None, None], grid[None], "bilinear", "zeros", align_corners=False)[0, 0]
