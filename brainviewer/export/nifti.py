"""NIfTI: heatmap, healthy percentiles, mask, labels of the findings and the engine's extras, on the scan's own grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from brainviewer.export.order import Order


def write(order: Order, folder: Path) -> None:
    """ENGINE_heatmap, _percentiles, _mask, _findings and _NAME for each extra volume, all .nii.gz."""
    material = order.material
    volumes: dict[str, NDArray[Any]] = {
        "heatmap": material.result.heatmap,
        "percentiles": material.percentiles,
        "mask": material.mask.astype(np.uint8),
        "findings": material.labels,
    }
    volumes |= {name.replace(" ", "_"): extra for name, extra in material.result.extras.items() if extra.ndim > 1}
    for done, (name, values) in enumerate(volumes.items()):
        order.report(done, len(volumes), "Writing NIfTI")
        save(folder / order.name(f"{name}.nii.gz"), values, material.volume.affine)


def save(path: Path, values: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """One volume; nothing but numbers in its header."""
    import nibabel

    image = nibabel.Nifti1Image(values, affine)
    # Code 1: the scanner's own space, which is where the scan lies.
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=0, strip_shears=True)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
