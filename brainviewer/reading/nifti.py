"""NIfTI: .nii and .nii.gz; each volume of a 4D file is a series of its own. RAS+ is NIfTI's own convention."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel
import numpy as np
from nibabel.openers import Opener
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from brainviewer.reading.dicom_frames import LUMINANCE
from brainviewer.reading.fingerprint import fingerprint
from brainviewer.reading.loading import Allocate, Loaded, middle_out
from brainviewer.reading.modality import from_file_name
from brainviewer.reading.trouble import damage_reported, quiet_libraries, refuse_if_too_large
from brainviewer.study import Series
from brainviewer.study.study import Affine
from engines import BadInput, Report, Volume

SUFFIXES = (".nii", ".nii.gz")
# Deflate cannot do better than this, so a header that claims more is lying.
BEST_GZIP_RATIO = 1032
CONFLICT_MM = 0.1
MILLIMETRES = {"meter": 1000.0, "micron": 0.001}
MOST_SERIES = 2000


def is_nifti(path: Path) -> bool:
    """True by the file's name: the format has no magic number at its beginning."""
    return path.name.lower().endswith(SUFFIXES)


def scan(path: Path, name: str = "") -> list[Series]:
    """The series of one file, one for each volume in it. name: what to call it where the file's own is made up."""
    with damage_reported(path, "header"), quiet_libraries():
        image = nibabel.load(path)
        header = image.header
        shape, frames = _shape(path, image)
        _check_size(path, image)
        warnings: list[str] = []
        affine, calibrated = _affine(header, shape, warnings)
        name = name or path.name
        title = name[: -len(next(end for end in SUFFIXES[::-1] if name.lower().endswith(end)))]
        uid = fingerprint(path)
    nested = cast(Affine, tuple(tuple(float(value) for value in row) for row in affine))
    return [
        Series(
            uid=f"{uid}.{frame}" if frames > 1 else uid,
            title=f"{title} ({frame + 1} of {frames})" if frames > 1 else title,
            modality=from_file_name(name),
            kind="NIfTI",
            format="nifti",
            files=(path,),
            shape=shape,
            affine=nested,
            calibrated=calibrated,
            warnings=tuple(warnings),
            options={"frame": frame},
        )
        for frame in range(frames)
    ]


def _shape(path: Path, image: Any) -> tuple[tuple[int, int, int], int]:
    """(i, j, k) and the number of volumes behind them."""
    shape = tuple(int(size) for size in image.shape)
    if len(shape) < 2 or min(shape) < 1:
        raise BadInput(f"{path.name} has the shape {shape}: there is no picture in it.")
    frames = int(np.prod(shape[3:], dtype=object))
    if frames > MOST_SERIES:
        raise BadInput(f"{path.name} holds {frames} volumes; at most {MOST_SERIES} are read.")
    dtype = image.header.get_data_dtype()
    if dtype.kind not in "iuf" and dtype.names not in (("R", "G", "B"), ("R", "G", "B", "A")):
        raise BadInput(f"{path.name} holds values of the type {dtype}, which are not a picture.")
    i, j, k = (*shape[:3], 1)[:3]
    return (i, j, k), frames


def _check_size(path: Path, image: Any) -> None:
    claimed = int(np.prod(image.shape, dtype=object)) * image.header.get_data_dtype().itemsize
    size = path.stat().st_size
    if claimed > size * (BEST_GZIP_RATIO if path.name.lower().endswith(".gz") else 1):
        raise BadInput(
            f"{path.name} is cut short or its header is wrong: it claims {claimed:,} bytes of voxels, "
            f"the file has {size:,}."
        )


def _affine(header: Any, shape: tuple[int, int, int], warnings: list[str]) -> tuple[NDArray[np.float64], bool]:
    """Voxel -> RAS+ mm: sform first, else qform, else sizes only; what is odd about it goes to warnings."""
    sform, sform_code = header.get_sform(coded=True)
    qform, qform_code = _qform(header)
    zooms = np.asarray(header.get_zooms()[:3], float)
    sound = [form is not None and _is_sound(form) for form in (sform, qform)]
    if sform_code and sound[0]:
        affine = np.asarray(sform, float)
        if qform_code and sound[1]:
            _warn_of_conflict(affine, np.asarray(qform, float), shape, warnings)
    elif qform_code and sound[1]:
        affine = np.asarray(qform, float)
    else:
        return _without_affine(zooms, shape, warnings), bool(np.all(zooms > 0) and not np.all(zooms == 1))
    if sform_code and not sound[0]:
        warnings.append("The sform is not a usable matrix; the qform is taken.")
    scale = MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)
    if scale != 1.0:
        warnings.append(f"The file measures in {header.get_xyzt_units()[0]}s; converted to mm.")
        affine = np.diag([scale, scale, scale, 1.0]) @ affine
    if np.array_equal(np.abs(affine), np.eye(4)):
        warnings.append(
            "The affine looks like a placeholder (1 mm in every direction, origin zero): "
            "sizes in mm and the slice distance may be wrong."
        )
    return affine, True


def _qform(header: Any) -> tuple[NDArray[np.float64] | None, int]:
    try:
        qform, code = header.get_qform(coded=True)
    except (HeaderDataError, ValueError):
        return None, int(header["qform_code"])
    return qform, code


def _is_sound(affine: Any) -> bool:
    matrix = np.asarray(affine, float)
    if not np.all(np.isfinite(matrix)) or np.abs(matrix).max() > 1e6:
        return False
    columns = np.linalg.norm(matrix[:3, :3], axis=0)
    return bool(columns.min() > 1e-6 and abs(np.linalg.det(matrix[:3, :3] / columns)) > 1e-3)


def _warn_of_conflict(
    sform: NDArray[np.float64], qform: NDArray[np.float64], shape: tuple[int, int, int], warnings: list[str]
) -> None:
    corners = np.array([[i, j, k, 1] for i in (0, shape[0] - 1) for j in (0, shape[1] - 1) for k in (0, shape[2] - 1)])
    apart = float(np.linalg.norm(((sform - qform) @ corners.T)[:3], axis=0).max())
    if apart > CONFLICT_MM:
        warnings.append(
            f"The file states two positions (sform and qform) that differ by up to {apart:.1f} mm; the sform is taken."
        )


def _without_affine(
    zooms: NDArray[np.float64], shape: tuple[int, int, int], warnings: list[str]
) -> NDArray[np.float64]:
    """Sizes only, around the middle of the picture; x to the patient's left as nibabel and SPM assume."""
    warnings.append("The file does not say how the patient lies (sform and qform codes are 0): left may be right.")
    sizes = np.ones(3)
    usable = np.isfinite(zooms) & (zooms > 0)
    sizes[: zooms.size][usable] = zooms[usable]
    if not usable.all() or zooms.size < 3 or np.all(sizes == 1):
        warnings.append("The voxel size is missing or a placeholder: millimetres are not known and 1 mm is shown.")
    affine = np.diag([-sizes[0], sizes[1], sizes[2], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ (np.asarray(shape) - 1) / 2
    return affine


def load(series: Series, report: Report, allocate: Allocate) -> Loaded:
    """Read slice by slice, so that no second copy of the volume is made. Voxels without a value (NaN) become 0."""
    path = series.files[0]
    refuse_if_too_large(int(np.prod(series.shape)), f"The series {series.title}")
    with damage_reported(path, "picture"), quiet_libraries():
        image = nibabel.load(path)
        if _shape(path, image)[0] != series.shape:
            raise BadInput(f"{path.name} has changed since it was found.", "Open it again.")
        order: Sequence[int] = range(series.shape[2])
        if not path.name.lower().endswith(".gz"):  # only a plain file can be read from the middle outwards
            order = middle_out(series.shape[2])
        with Opener(path) as file:
            voxels = _read_slices(cast(BinaryIO, file), image, series, order, report, allocate)
    volume = Volume(voxels, np.asarray(series.affine, float), series.modality, series.uid, series.calibrated)
    return Loaded(volume)


def _read_slices(
    file: BinaryIO, image: Any, series: Series, order: Sequence[int], report: Report, allocate: Allocate
) -> NDArray[np.float32]:
    dtype = image.header.get_data_dtype()
    i, j, depth = series.shape
    size = i * j * dtype.itemsize
    start = int(image.dataobj.offset) + cast(int, series.options["frame"]) * size * depth
    slope, intercept = float(image.dataobj.slope), float(image.dataobj.inter)
    voxels = allocate(series.shape)
    for done, k in enumerate(order, start=1):
        file.seek(start + k * size)
        data = file.read(size)
        if len(data) < size:
            raise BadInput(f"{series.files[0].name} is cut short: it ends in slice {k + 1} of {depth}.")
        voxels[:, :, k] = _values(np.frombuffer(data, dtype).reshape((i, j), order="F"), slope, intercept)
        report(done, depth, f"Slice {k + 1}")
    return voxels


def _values(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[np.float32]:
    """Scaled float32; colours become their luminance."""
    if stored.dtype.names:
        bands = np.stack([stored[name] for name in "RGB"], axis=-1).astype(np.float32)
        return (bands @ LUMINANCE).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        values = stored.astype(np.float64) * slope + intercept if (slope, intercept) != (1.0, 0.0) else stored
        result = values.astype(np.float32)
    return np.nan_to_num(result, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
