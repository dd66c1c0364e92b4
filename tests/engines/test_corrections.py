"""Corrections as files: what one reader writes another one reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engines import BadInput, KnownError, Volume, corrections
from engines.corrections import STATES, CorrectedVolume

SHAPE = (9, 8, 5)
AFFINE = np.array([[-1.0, 0.1, 0, 3], [0, 2, 0, 4], [0, 0, 3, 5], [0, 0, 0, 1]])


def a_correction(name: str = "one", **other) -> CorrectedVolume:
    random = np.random.default_rng(1)
    mask, automatic = random.random(SHAPE) > 0.5, random.random(SHAPE) > 0.5
    facts = {"modality": "FLAIR", "engine": "sagan", "model_digest": "ab" * 32, "percentile": 99.0} | other
    return CorrectedVolume(name, "1.2.3", "s1", "Dr A", mask, automatic, STATES, 2, AFFINE, **facts)


def a_scan() -> Volume:
    return Volume(np.random.default_rng(2).random(SHAPE).astype(np.float32), AFFINE, "FLAIR", "1.2.3")


def test_a_correction_comes_back_as_it_was_with_its_scan(tmp_path: Path) -> None:
    one, scan = a_correction(), a_scan()
    corrections.write(tmp_path, one, scan)
    (found,) = corrections.read(tmp_path)
    assert np.array_equal(found.mask, one.mask)
    assert np.array_equal(found.automatic, one.automatic)
    assert np.allclose(found.affine, AFFINE, atol=1e-6)
    assert np.array_equal(found.volume().voxels, scan.voxels)
    for name in ("name", "series", "subject", "reader", "states", "slice_axis", "modality", "engine", "percentile"):
        assert getattr(found, name) == getattr(one, name)
    assert found.decided.tolist() == [False, True, True, True, False]


def test_several_corrections_share_a_folder_and_other_files_are_passed_over(tmp_path: Path) -> None:
    for name in ("b", "a"):
        corrections.write(tmp_path, a_correction(name))
    (tmp_path / "notes.json").write_text("[1, 2]")
    assert [one.name for one in corrections.read(tmp_path)] == ["a", "b"]


def test_a_scan_elsewhere_is_referred_to(tmp_path: Path) -> None:
    corrections.write(tmp_path / "first", a_correction(), a_scan())
    (with_scan,) = corrections.read(tmp_path / "first")
    path = corrections.write(tmp_path / "second", with_scan)
    assert json.loads(path.read_text())["files"]["scan"]["path"] == "../first/one_scan.nii.gz"
    assert np.array_equal(corrections.read_one(path).volume().voxels, a_scan().voxels)


def test_changed_or_missing_files_are_refused(tmp_path: Path) -> None:
    path = corrections.write(tmp_path, a_correction(), a_scan())
    mask = tmp_path / "one_mask.nii.gz"
    kept = mask.read_bytes()
    mask.write_bytes(kept[:-1] + b"!")
    with pytest.raises(BadInput, match="changed"):
        corrections.read(tmp_path)
    mask.unlink()
    with pytest.raises(BadInput, match="cannot be read"):
        corrections.read(tmp_path)
    mask.write_bytes(kept)
    facts = json.loads(path.read_text())
    for wrong in ({"version": 9}, {"states": ["auto"]}, {"states": ["unheard"] * 5}, {"slice_axis": "x"}):
        path.write_text(json.dumps(facts | wrong))
        with pytest.raises(BadInput):
            corrections.read(tmp_path)


def test_nothing_to_read_and_nowhere_to_write_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no corrections"):
        corrections.read(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(KnownError, match="cannot be written"):
        corrections.write(tmp_path / "file", a_correction())
    with pytest.raises(ValueError, match="called"):
        corrections.write(tmp_path, a_correction("../../up"))


def test_without_a_scan_training_says_so(tmp_path: Path) -> None:
    corrections.write(tmp_path, a_correction())
    (found,) = corrections.read(tmp_path)
    with pytest.raises(BadInput, match="not at hand"):
        found.volume()
