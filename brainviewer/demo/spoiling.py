"""The sample study's T1 with what goes wrong in a scanner: to see what quality control says of it."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from engines.errors import KnownError

SEED = 3


def spoiled(folder: Path, kind: str, severity: float) -> Path:
    """The T1 of the sample study in `folder` with an artefact, as NIfTI in patient axes; made on first use.

    kind, severity: as engines.itermask3d.artefacts.corrupted, whose errors come as KnownError.
    """
    target = folder / "artefacts" / f"t1_{kind}_{severity:.2f}.nii.gz"
    if target.exists():
        return target
    # A process of its own: the one that opens the window must stay free of torch.
    queue = (context := multiprocessing.get_context("spawn")).SimpleQueue()
    child = context.Process(target=_spoil, args=(folder / "nifti" / "t1.nii.gz", target, kind, severity, queue))
    child.start()
    child.join()
    trouble = queue.get() if not queue.empty() else ("", "")
    if child.exitcode or trouble[0]:
        raise KnownError(trouble[0] or "The scan with an artefact could not be made.", trouble[1])
    return target


def _spoil(
    source: Path, target: Path, kind: str, severity: float, queue: multiprocessing.SimpleQueue[tuple[str, str]]
) -> None:
    """In the child: read, corrupt, write under another name first."""
    import nibabel as nib
    import numpy as np

    from engines.itermask3d.artefacts import corrupted_array

    try:
        image = nib.as_closest_canonical(nib.load(source))
        values = corrupted_array(np.asarray(image.dataobj, np.float32), kind, severity, SEED)
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_name(f"writing_{target.name}")
        nib.save(nib.Nifti1Image(values.round().astype(np.uint16), image.affine), half)
        half.replace(target)
    except KnownError as error:
        queue.put((error.message, error.remedy))
    except OSError as error:
        queue.put((f"The scan with an artefact could not be written: {error.strerror or error}.", "Free some space."))
