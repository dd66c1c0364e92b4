"""From template to files: one simulated patient, the same every time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainviewer.demo import anatomy, scanner, tumour, writing
from brainviewer.demo.scanner import FLAIR, T1, Grid, Protocol
from engines.contract import Report

SEED = 7
STAGES = 7
TILT_DEGREES = 12.0
FLAIR_SHAPE, FLAIR_PIXEL_MM, FLAIR_SLICE_MM = (256, 256, 36), 0.9375, 4.0
T1_SHAPE, T1_VOXEL_MM = (192, 192, 144), 1.25


def oblique_axial() -> Grid:
    """Axial slices tilted as technicians do, chin down, from the cerebellum to the vertex."""
    tilt = np.deg2rad(TILT_DEGREES)
    left, back = np.array([-1.0, 0, 0]), np.array([0.0, -np.cos(tilt), -np.sin(tilt)])
    up = np.cross(left, back)
    return _centred(
        FLAIR_SHAPE, (left, back, up), (FLAIR_PIXEL_MM, FLAIR_PIXEL_MM, FLAIR_SLICE_MM), (0.0, -16.0, 17.0), 3.6
    )


def sagittal() -> Grid:
    """A sagittal 3D acquisition over the whole head."""
    back, down, left = np.array([0.0, -1, 0]), np.array([0.0, 0, -1]), np.array([-1.0, 0, 0])
    return _centred(T1_SHAPE, (back, down, left), (T1_VOXEL_MM,) * 3, (0.0, -14.0, 12.0), T1_VOXEL_MM)


def protocols() -> tuple[Protocol, ...]:
    """What is scanned, in the order of the series."""
    return (
        Protocol(1, FLAIR, oblique_axial(), noise=1.6, window=(1200.0, 560.0)),
        Protocol(2, T1, sagittal(), noise=2.4, window=(1500.0, 720.0)),
    )


def _centred(
    shape: tuple[int, int, int],
    directions: tuple[NDArray[np.float64], ...],
    spacing_mm: tuple[float, float, float],
    centre_mm: tuple[float, float, float],
    thickness_mm: float,
) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = np.stack(directions, axis=1) * spacing_mm
    affine[:3, 3] = np.array(centre_mm) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine, thickness_mm)


def generate(dicom: Path, nifti: Path, version: int, report: Report) -> None:
    """Write the study as DICOM under `dicom` and as NIfTI under `nifti`."""
    rng = np.random.default_rng(SEED)
    report(0, STAGES, "Reading the brain template")
    template = anatomy.load_template()
    report(1, STAGES, "Shaping a brain and making room for the tumour")
    warp = anatomy.individual_warp(template.t1.shape, rng)
    brain = anatomy.warped(template, warp + tumour.mass_effect(template))
    report(2, STAGES, "Growing the tumour")
    lesion = tumour.grow(brain, rng)
    report(3, STAGES, "Adding skull and scalp")
    around = anatomy.wrap(brain, rng)
    report(4, STAGES, "Scanning")

    def scan(protocol: Protocol) -> tuple[Protocol, NDArray[np.uint16], NDArray[np.bool_]]:
        own = np.random.default_rng([SEED, protocol.number])
        ideal = scanner.picture(brain, around, lesion, protocol.contrast, own)
        pixels = scanner.acquire(ideal, brain.affine, protocol.grid, protocol.noise, own)
        return protocol, pixels, scanner.sample(lesion.lesion, brain.affine, protocol.grid) > 0.5

    with ThreadPoolExecutor() as pool:
        for protocol, pixels, truth in pool.map(scan, protocols()):
            name = protocol.contrast.name
            report(4 + protocol.number, STAGES, f"Writing {name}")
            writing.write_dicom(dicom / name, protocol, pixels, version)
            writing.write_nifti(nifti / f"{name.lower()}.nii.gz", pixels, protocol.grid)
            writing.write_nifti(nifti / f"{name.lower()}_lesion.nii.gz", truth.astype(np.uint8), protocol.grid)
    report(STAGES, STAGES, "The sample study is ready")
