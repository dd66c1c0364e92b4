"""Each place against the same place of the other half of the head.

Another scanner, age and the skull base raise scores on both sides alike; most lesions lie on one side.
"""

from __future__ import annotations

import numpy as np
import torch
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
    inside = slabs.inside.numpy().astype(np.float32)
    score = standardised.numpy() * inside
    flipped, covered = score[:, :, ::-1], inside[:, :, ::-1]
    # The mirror stands where the brain covers its own reflection best.
    shift = max(range(-REACH, REACH + 1), key=lambda by: float((np.roll(covered, by, 2) * inside).sum()))
    total, weight = (
        ndimage.gaussian_filter(np.roll(part, shift, 2), SIGMA, mode="constant") for part in (flipped, covered)
    )
    other = np.where(weight > FEWEST, total / np.maximum(weight, FEWEST), 0)
    less: Tensor = standardised - share * torch.from_numpy(np.maximum(other, 0)).to(standardised.dtype)
    return less
