"""`brainviewer demo --offscreen`: pictures and results without a screen."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from brainviewer.commands.demo import NO_MODEL, fitting
from brainviewer.demo.spoiling import spoiled
from brainviewer.storage import models
from engines import KnownError


@pytest.fixture
def cached_study(sample_study: Path, home: Path) -> Path:
    """The sample study where the command looks for it."""
    return shutil.copytree(sample_study, home / "cache" / "demo")


def _has_model_for_the_sample() -> bool:
    return any(model.card.modality in ("FLAIR", "T1") for model in models.find()[0])


@pytest.mark.slow
@pytest.mark.timeout(900)  # every engine runs
@pytest.mark.usefixtures("cached_study")
def test_demo_is_written_without_a_screen(tmp_path: Path) -> None:
    out = tmp_path / "out"
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment.pop("QT_QPA_PLATFORM", None)
    command = [sys.executable, "-m", "brainviewer", "demo", "--offscreen", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    for picture in facts["pictures"] + [run["picture"] for run in facts["runs"]]:
        assert np.asarray(Image.open(picture).convert("L")).std() > 10
    assert bool(facts["runs"]) == _has_model_for_the_sample()
    if not facts["runs"]:
        assert NO_MODEL in done.stderr
    else:
        assert Path(facts["report"]).read_bytes().startswith(b"%PDF")
    for run in facts["runs"]:
        heatmap = nib.load(Path(run["results"]) / "heatmap.nii.gz")
        series = nib.load(Path(facts["study"]).parent / "nifti" / f"{run['series'].lower()}.nii.gz")
        assert heatmap.shape == series.shape
        assert run["dice_with_the_true_lesion"] is not None


def test_models_for_other_images_are_left_out(sample_study: Path) -> None:
    from brainviewer import reading

    studies = reading.scan([sample_study / "dicom"])
    found = fitting(studies, models.find()[0])
    assert all(match.model.card.modality == match.series.modality for match in found)
    assert len({match.model.card.engine for match in found}) == len(found)


def test_the_sample_can_be_spoiled_with_an_artefact(sample_study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    (folder / "nifti").mkdir(parents=True)
    shutil.copy(sample_study / "nifti" / "t1.nii.gz", folder / "nifti")
    path = spoiled(folder, "ghosting", 0.5)
    clean = nib.as_closest_canonical(nib.load(folder / "nifti" / "t1.nii.gz"))
    ghost = nib.load(path)
    assert np.allclose(ghost.affine, clean.affine)
    assert np.abs(np.asarray(ghost.dataobj, float) - np.asarray(clean.dataobj, float)).mean() > 5
    written = path.stat().st_mtime_ns
    assert spoiled(folder, "ghosting", 0.5).stat().st_mtime_ns == written
    with pytest.raises(KnownError, match="no artefact 'coffee'"):
        spoiled(folder, "coffee", 0.5)
    assert [found.name for found in (folder / "artefacts").iterdir()] == [path.name]
