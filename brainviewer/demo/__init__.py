"""The sample study: a simulated patient with a glioma, made on the spot so that no scan of a person is shipped.

Importing this package is cheap; the work (scipy, nibabel, pydicom) is imported when a study is made.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from engines.contract import Report, silent
from engines.errors import KnownError

# Raise it when the pictures change: cached studies of other versions are made anew.
VERSION = 1
README = """BrainViewer sample study (simulated). Research use only, not for diagnosis.

dicom/FLAIR, dicom/T1   the study as a scanner would send it
nifti/                  the same voxels as NIfTI, and where the lesion truly is (*_lesion.nii.gz)

Brain anatomy: MNI152 2009a nonlinear symmetric template (Fonov et al. 2011, NeuroImage 54:313),
Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute,
McGill University. Skull, scalp, tumour and scanner are simulated.
"""


def make(folder: Path, report: Report = silent) -> Path:
    """Make the sample study in `folder`; returns the folder of the DICOM study, the one to open.

    Beside it lies nifti/ with flair, t1 and the true lesion on the grid of each (flair_lesion, t1_lesion).
    A study that is already there, complete and of this version, is kept.
    """
    stamp = folder / "version.txt"
    if not (stamp.exists() and stamp.read_text(encoding="utf-8").strip() == str(VERSION)):
        try:
            _make_anew(folder, report)
        except OSError as error:
            raise KnownError(
                f"The sample study could not be written to {folder}: {error.strerror or error}.",
                "Free some space there (60 MB) or set BRAINVIEWER_HOME to a folder you may write to.",
            ) from error
    return folder / "dicom"


def _make_anew(folder: Path, report: Report) -> None:
    from brainviewer.demo.generator import generate

    folder.parent.mkdir(parents=True, exist_ok=True)
    # Made beside the goal and moved there when complete: a stopped run leaves no half study behind.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="demo-") as temporary:
        fresh = Path(temporary) / "study"
        generate(fresh / "dicom", fresh / "nifti", VERSION, report)
        (fresh / "README.txt").write_text(README, encoding="utf-8")
        (fresh / "version.txt").write_text(f"{VERSION}\n", encoding="utf-8")
        for name in ("dicom", "nifti"):
            shutil.rmtree(folder / name, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        for part in sorted(fresh.iterdir()):  # version.txt comes last: only then is the study complete
            part.replace(folder / part.name)


def cache_folder() -> Path:
    """Where the sample study is kept between starts."""
    from brainviewer.storage import folders

    return folders.cache_dir() / "demo"


def cached(report: Report = silent) -> Path:
    """The sample study's DICOM folder, made on first use."""
    return make(cache_folder(), report)
