"""Volumes and masks of a cohort from NIfTI, PNG and JPEG files (DICOM is the viewer's business)."""

from __future__ import annotations

import hashlib
import io
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import BadCohort, BadVolume
from engines.samples import Sample
from engines.volume import Volume

PICTURES = (".png", ".jpg", ".jpeg")
NIFTI = (".nii", ".nii.gz")
# Columns run to the patient's left and rows to the feet, as a picture is looked at: LPS, told in RAS.
PICTURE_AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
# gzip cannot pack better than 1 : 1032; a header that claims more than the file can hold is a lie.
GZIP_RATIO = 1032
SAME_GRID_MM = 0.1


def load_volume(sample: Sample) -> Volume:
    """The voxels of a sample; raises BadVolume, or BadCohort where slice_labels do not fit the volume."""
    volume = read_volume(sample.volume, sample.modality)
    if sample.slice_labels and len(sample.slice_labels) != volume.shape[2]:
        raise BadCohort(
            f"{sample.volume} has {volume.shape[2]} slices along its last axis, but {len(sample.slice_labels)} "
            "slice labels in the cohort file.",
            "Write one character a slice.",
        )
    return volume


def load_mask(sample: Sample, volume: Volume) -> NDArray[np.bool_] | None:
    """The drawn lesion on the volume's grid, or None where none is known; another grid raises BadVolume."""
    if sample.mask is None:
        return None
    mask = read_volume(sample.mask)
    corners = np.array([[0, 0, 0, 1], [*volume.shape, 1]], dtype=float).T
    apart_mm = np.abs((mask.affine - volume.affine) @ corners).max()
    if mask.shape != volume.shape or apart_mm > SAME_GRID_MM:
        raise BadVolume(f"The mask {sample.mask} lies on another grid than {sample.volume}.", "Resample the mask.")
    drawn: NDArray[np.bool_] = mask.voxels > 0
    return drawn


def read_volume(path: Path, modality: str = "") -> Volume:
    """A NIfTI file, or a PNG or JPEG picture as (columns, rows, 1); raises BadVolume with one clear sentence."""
    name = path.name.lower()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadVolume(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    uid = hashlib.sha256(content).hexdigest()[:32]
    if name.endswith(PICTURES):
        voxels = _picture(path, content)
        return Volume(voxels, PICTURE_AFFINE.copy(), modality, uid, calibrated=False)
    if name.endswith(NIFTI):
        voxels, affine = _nifti(path)
        return Volume(voxels, affine, modality, uid)
    raise BadVolume(f"{path} is neither NIfTI, PNG nor JPEG.", "Convert it, or open it in the viewer.")


def _picture(path: Path, content: bytes) -> NDArray[np.float32]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
                upright: Any = ImageOps.exif_transpose(picture)
                # 16-bit and float pictures keep their values; colour becomes luminance.
                grey = upright if upright.mode in ("L", "I", "F", "I;16", "I;16B") else upright.convert("L")
                rows = np.asarray(grey, dtype=np.float32)  # (rows, columns)
    except (
        OSError, ValueError, SyntaxError, EOFError, MemoryError, UnidentifiedImageError,
        Image.DecompressionBombError, Image.DecompressionBombWarning,
    ) as error:  # fmt: skip
        raise BadVolume(f"{path} is not a readable picture.", "Save it again as PNG.") from error
    return np.ascontiguousarray(rows.T[:, :, None])  # (columns, rows, 1)


def _nifti(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    faults = (
        ImageFileError, HeaderDataError, OSError, EOFError, ValueError, TypeError, KeyError, OverflowError,
        MemoryError, zlib.error,
    )  # fmt: skip
    try:
        image: Any = nibabel.load(path)
        _check_header(path, image)
        # order="A": the file's own (Fortran) order, no second copy.
        voxels = np.asarray(image.dataobj, dtype=np.float32)
        affine = np.asarray(image.affine, dtype=np.float64)
    except faults as error:
        raise BadVolume(f"{path} is not a readable NIfTI file.", "Export the volume again.") from error
    return voxels.reshape(voxels.shape[:3], order="F"), affine


def _check_header(path: Path, image: Any) -> None:
    shape, dtype = image.shape, image.get_data_dtype()
    if dtype.kind not in "biuf":
        raise BadVolume(f"{path} holds colours or complex numbers, not grey values.", "Convert it to one channel.")
    if len(shape) < 3 or any(size > 1 for size in shape[3:]):
        raise BadVolume(f"{path} has the shape {shape}; one three-dimensional volume is needed.", "Take one volume.")
    claimed = int(np.prod([int(size) for size in shape], dtype=object)) * dtype.itemsize
    possible = path.stat().st_size * (GZIP_RATIO if path.name.lower().endswith(".gz") else 1)
    if claimed > possible or min(shape) < 1:
        raise BadVolume(f"{path} claims {claimed} bytes of voxels, more than it can hold.", "Export it again.")
