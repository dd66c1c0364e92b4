"""Small scans whose every voxel has a value of its own, written as the formats under test.

The phantom lives in patient space: value_at(position) is known, so a test can ask of any file, however its axes
run, whether each value came back at the place in the patient where it belongs.
"""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel
import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

SHAPE = (7, 6, 5)
SPACING_MM = (1.25, 0.75, 2.5)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# All 48 ways to lay three voxel axes along the patient: nibabel orientations (axis, direction).
ORDERS = [
    np.array(list(zip(axes, flips, strict=True)), float)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]
Change = Callable[[Dataset, int], None]


def phantom() -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Values and affine in RAS+ order, slightly oblique. Every value is unique; the largest are far left."""
    values = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE) + 10
    values[0] += 1000  # the marker: in RAS+ the lowest x is the patient's left
    return values, oblique_affine()


def oblique_affine(spacing: Sequence[float] = SPACING_MM) -> NDArray[np.float64]:
    """RAS+ axes turned by 12 degrees about x and 8 about z."""
    a, b = np.radians(12.0), np.radians(8.0)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_z @ np.diag(spacing)
    affine[:3, 3] = (-31.0, 12.0, 45.0)
    return affine


def reordered(order: NDArray[np.float64]) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """The same phantom with its voxel axes permuted and flipped; the affine follows."""
    values, affine = phantom()
    return apply_orientation(values, order), affine @ inv_ornt_aff(order, SHAPE)


def assert_values_lie_where_they_belong(voxels: NDArray[np.float32], affine: NDArray[np.float64]) -> None:
    """Each value is found at its own place in the patient."""
    values, true_affine = phantom()
    home = {int(value): np.array(index) for index, value in np.ndenumerate(values)}
    assert sorted(voxels.ravel().astype(int)) == sorted(home)
    for index, value in np.ndenumerate(voxels):
        expected = true_affine @ [*home[int(value)], 1]
        assert np.allclose(affine @ [*index, 1], expected, atol=1e-4), f"value {value} at voxel {index}"


def write_nifti(path: Path, values: NDArray[np.generic], affine: NDArray[np.float64] | None, **codes: int) -> Path:
    """A NIfTI file; codes: sform, qform."""
    image = nibabel.Nifti1Image(values, affine)
    for form, code in codes.items():
        getattr(image, f"set_{form}")(affine, code)
    image.to_filename(path)
    return path


def slice_dataset(
    pixels: NDArray[np.generic], *, uids: tuple[str, str] = ("1.2.3", "1.2.3.4"), kind: str = "MR"
) -> FileDataset:
    """One classic MR or CT slice without a place: pixels (rows, columns), int16 or uint8/16."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage if kind == "CT" else MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uids
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "4711"
    dataset.StudyDate, dataset.StudyDescription = "20261121", "Brain"
    dataset.Modality, dataset.SeriesDescription, dataset.SeriesNumber = kind, "AX T1", 3
    dataset.PixelSpacing = [1.0, 1.0]
    set_pixels(dataset, pixels)
    return dataset


def set_pixels(dataset: Dataset, pixels: NDArray[np.generic]) -> None:
    """Uncompressed pixel data and what describes it; (rows, columns[, colour]) or (frames, rows, columns)."""
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    dataset.Rows, dataset.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = pixels.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"


def write_series(
    folder: Path,
    values: NDArray[np.generic],
    affine: NDArray[np.float64],
    change: Change = lambda _dataset, _k: None,
    **about: object,
) -> Path:
    """A classic series, one file a slice in shuffled order and without numbers to sort by. affine: RAS+."""
    folder.mkdir(parents=True, exist_ok=True)
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    names = np.random.default_rng(7).permutation(values.shape[2])
    for k in range(values.shape[2]):
        dataset = slice_dataset(np.ascontiguousarray(values[:, :, k].T), **about)  # type: ignore[arg-type]
        cosines = [*(lps[:3, 0] / spacing[0]), *(lps[:3, 1] / spacing[1])]
        dataset.ImageOrientationPatient = [f"{value:.10f}" for value in cosines]
        dataset.ImagePositionPatient = [f"{value:.8f}" for value in (lps @ [0, 0, k, 1])[:3]]
        dataset.PixelSpacing = [f"{spacing[1]:.8f}", f"{spacing[0]:.8f}"]
        dataset.SliceThickness = "99"  # a trap: nothing may read it
        dataset.InstanceNumber = int(names[k]) + 1
        change(dataset, k)
        dataset.save_as(folder / f"IM{names[k]:04d}", enforce_file_format=True)
    return folder


def enhanced_dataset(values: NDArray[np.int16], affine: NDArray[np.float64]) -> FileDataset:
    """One enhanced MR file; frames in shuffled order, rescale slope n + 1 for frame n of the file."""
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    order = np.random.default_rng(3).permutation(values.shape[2])
    dataset = slice_dataset(np.ascontiguousarray(np.stack([values[:, :, k].T for k in order])))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    dataset.NumberOfFrames = len(order)
    del dataset.PixelSpacing
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [f"{spacing[1]:.8f}", f"{spacing[0]:.8f}"]
    cosines = [*(lps[:3, 0] / spacing[0]), *(lps[:3, 1] / spacing[1])]
    plane.ImageOrientationPatient = [f"{value:.10f}" for value in cosines]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Items([measures]), Items([plane])
    dataset.SharedFunctionalGroupsSequence = Items([shared])
    dataset.PerFrameFunctionalGroupsSequence = Items([_frame_group(lps, int(k), n) for n, k in enumerate(order)])
    return dataset


def _frame_group(lps: NDArray[np.float64], k: int, number: int) -> Dataset:
    group, position, scale, content = Dataset(), Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = [f"{value:.8f}" for value in (lps @ [0, 0, k, 1])[:3]]
    scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = str(number + 1), "0", "US"
    content.InStackPositionNumber, content.StackID = k + 1, "1"
    group.PlanePositionSequence, group.PixelValueTransformationSequence = Items([position]), Items([scale])
    group.FrameContentSequence = Items([content])
    return group


def save(dataset: FileDataset, path: Path) -> Path:
    """Write a data set as a DICOM file, in whatever its transfer syntax says."""
    plain = Dataset(dict(dataset))  # without the memory of an encoding, so that big endian may be written
    plain.file_meta, plain.preamble = dataset.file_meta, dataset.preamble
    plain.save_as(path, enforce_file_format=True)
    return path


def set_compressed(dataset: Dataset, syntax: UID, *frames: bytes) -> None:
    """Replace the pixels by already compressed frames."""
    dataset.PixelData = encapsulate(list(frames))
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax


def nested_sequences(depth: int) -> bytes:
    """A DICOM file of undefined-length sequences, one inside the other."""
    buffer = io.BytesIO()
    slice_dataset(np.zeros((4, 4), np.int16)).save_as(buffer, enforce_file_format=True)
    whole = buffer.getvalue()
    meta_end = 132 + 12 + struct.unpack("<I", whole[140:144])[0]
    opening = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return whole[:meta_end] + opening * depth
