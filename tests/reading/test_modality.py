"""Guessing the contrast from names, descriptions and timing."""

from __future__ import annotations

import pytest

from brainviewer.reading.modality import MrTiming, from_file_name, from_mr_header, from_radiograph


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("IXI002-Guys-0828-T1.nii.gz", "T1"),
        ("sub-01_ses-02_T1w.nii.gz", "T1"),
        ("sub-01_space-T1w_FLAIR.nii.gz", "FLAIR"),
        ("BraTS-GLI-00001-000-t2f.nii.gz", "FLAIR"),
        ("BraTS2021_00001_t1ce.nii.gz", "T1"),
        ("T2_FLAIR.nii", "FLAIR"),
        ("patient_t1_mask.nii.gz", ""),
        ("brain_PD.nii", "PD"),
        ("report1.nii", ""),
        ("chest_CXR_12.png", "CXR"),
    ],
)
def test_file_names(name: str, word: str) -> None:
    assert from_file_name(name) == word


@pytest.mark.parametrize(
    ("description", "word"),
    [
        ("t1_mprage_sag_p2_iso", "T1"),
        ("AX T1 POST", "T1"),
        ("Ax T1 FLAIR", "T1"),
        ("t2_tirm_tra_dark-fluid", "FLAIR"),
        ("AX T2 FLAIR FS", "FLAIR"),
        ("T2W_TSE", "T2"),
        ("AX FSE T2", "T2"),
        ("FSE PD AXIAL OBL", "PD"),
        ("3D FSPGR", "T1"),
        ("t2*_gre", ""),
        ("ep2d_diff_T2 ADC", ""),
        ("Localizer T1", ""),
        ("unknown", ""),
    ],
)
def test_mr_descriptions(description: str, word: str) -> None:
    assert from_mr_header(description, "", MrTiming()) == word


@pytest.mark.parametrize(
    ("timing", "word"),
    [
        (MrTiming(echo=12, repetition=550, sequence="SE"), "T1"),
        (MrTiming(echo=100, repetition=4500, sequence="SE"), "T2"),
        (MrTiming(echo=15, repetition=3000, sequence="SE"), "PD"),
        (MrTiming(echo=120, repetition=9000, inversion=2500, sequence="SE IR"), "FLAIR"),
        (MrTiming(echo=3, repetition=2000, inversion=900, sequence="GR IR"), "T1"),
        (MrTiming(echo=90, repetition=5000, sequence="EP SE"), ""),
        (MrTiming(), ""),
    ],
)
def test_mr_timing(timing: MrTiming, word: str) -> None:
    assert from_mr_header("", "", timing) == word


def test_radiographs() -> None:
    assert from_radiograph("CT", "HEAD") == "CT"
    assert from_radiograph("DX", "CHEST") == "CXR"
    assert from_radiograph("DX", "HAND") == ""
    assert from_radiograph("US", "thorax") == ""
