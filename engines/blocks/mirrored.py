"""Each place against the same place of the other half of the head.

Another scanner, age and the skull base raise scores on both sides alike; most lesions lie on one side.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from engines.blocks.slab_features import Seen, Slabs

SIGMA = 1.5  # cells (and slabs): brains are not symmetric to a cell
REACH = 3  # cells: how far the middle of a brain may lie from the middle of its slices
FEWEST = 0.1  # weight below which the other side has nothing to say


def against_mirror(seen: Seen, slabs: Slabs, standardised: Tensor, share: float) -> Tensor:
    """Standardised scores (m, h, w) less a share of those of the mirrored place, where these are above usual.

    Nothing changes for pictures, whose left nobody knows, and for sagittal slices.
    """
    if not share or seen.coarse.volume.is_picture or not seen.stack.columns_run_left_right:
        return standardised
    other = reflected(standardised.numpy(), slabs.inside.numpy(), 2, SIGMA, REACH)
    less: Tensor = standardised - share * torch.from_numpy(np.maximum(other, 0)).to(standardised.dtype)
    return less


def reflected(
    values: NDArray[np.float32], inside: NDArray[np.bool_], axis: int, sigma: float, reach: int
) -> NDArray[np.float32]:
    """What lies at the mirrored place, smoothed; 0 where that is outside. (i, j, k) each, left and right along `axis`.

    The mirror stands where `inside` covers its own reflection best, up to `reach` from the middle.
    """
    weight = inside.astype(np.float32)
    flipped, covered = np.flip(values * weight, axis), np.flip(weight, axis)
    shift = max(range(-reach, reach + 1), key=lambda by: float((np.roll(covered, by, axis) * weight).sum()))
    total, share = (
        ndimage.gaussian_filter(np.roll(part, shift, axis), sigma, mode="constant") for part in (flipped, covered)
    )
    return np.asarray(np.where(share > FEWEST, total / np.maximum(share, FEWEST), 0), np.float32)
