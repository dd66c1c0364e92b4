"""What DDPT learns from: slice labels by subject, and never a mask."""

from __future__ import annotations

import csv
import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from engines import model_package
from engines.ddpt.engine import Ddpt
from engines.ddpt.planting import planted
from engines.ddpt.settings import Settings
from engines.ddpt.slices import labelled, load_prepared, varied
from engines.errors import BadCohort
from engines.samples import Cohort, read_cohort
from tests.engines import phantoms


def test_training_never_opens_a_mask(phantom_cohort: Cohort, tiny_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(phantom_cohort.path.parent, tmp_path / "cohort"))
    for mask in folder.glob("*_mask.nii.gz"):
        mask.write_bytes(b"no picture at all")
    blind = dataclasses.replace(read_cohort(folder / "phantoms.csv"), digest=phantom_cohort.digest)
    model = Ddpt.fit(blind, tmp_path / "model", Settings.tiny(), device="cpu")
    ours, theirs = (model_package.read_weights(path) for path in (model, tiny_model))
    assert set(ours) == set(theirs)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_split_is_by_subject_and_not_by_order(tmp_path: Path) -> None:
    cohort = phantoms.write_cohort(tmp_path, (("abnormal", "train", 7),))
    learn, apart = labelled(cohort, Settings())
    assert {s.subject for s in learn}.isdisjoint({s.subject for s in apart})
    assert len(learn) + len(apart) == 7
    with (tmp_path / "phantoms.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    with (tmp_path / "turned.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *reversed(rows)])
    again = labelled(read_cohort(tmp_path / "turned.csv"), Settings())
    assert {s.subject for s in again[1]} == {s.subject for s in apart}


def test_val_and_test_subjects_are_never_learned_from(phantom_cohort: Cohort) -> None:
    learn, apart = labelled(phantom_cohort, Settings())
    assert {s.split for s in learn} == {"train"}
    assert {s.split for s in apart} == {"val"}
    assert all(s.slice_labels for s in learn)


def test_cohort_without_lesions_is_refused(tmp_path: Path) -> None:
    cohort = phantoms.write_cohort(tmp_path, (("normal", "train", 2), ("normal", "val", 1)))
    with pytest.raises(BadCohort, match="slice_labels"):
        labelled(cohort, Settings())


def test_labels_belong_to_the_slices_they_lie_on(phantom_cohort: Cohort) -> None:
    sample = next(s for s in phantom_cohort.samples if "1" in s.slice_labels)
    stack, labels = load_prepared(sample, 64, Settings())
    assert labels.any()
    assert [sample.slice_labels[index] == "1" for index in stack.indices] == labels.tolist()


def test_another_look_keeps_most_of_the_slice() -> None:
    brain = torch.zeros(6, 64, 64)
    brain[:, 12:52, 16:48] = 1
    pictures = torch.where(brain > 0, torch.rand(6, 64, 64) * 0.4 - 0.4, torch.full((), -0.98))
    shown, inside = varied(pictures, brain > 0, Settings(), torch.Generator().manual_seed(0), mirror=True)
    assert shown.shape == pictures.shape
    assert (shown[~inside] == -0.98).all()
    assert (inside.sum((1, 2)) > 0.7 * brain.sum((1, 2))).all()


def test_planted_lesion_changes_the_brain_there_and_nowhere_else() -> None:
    brain = torch.zeros(8, 128, 128, dtype=torch.bool)
    brain[:7, 20:108, 24:104] = True
    pictures = torch.where(brain, torch.full((), -0.2), torch.full((), -0.98))
    shown, lesions = planted(pictures, brain, np.random.default_rng(0))
    assert not (lesions & ~brain).any()
    assert lesions[:7].any((1, 2)).all()
    assert not lesions[7].any()
    changed = (shown - pictures).abs() > 0.05
    assert (changed & lesions).sum() > 0.8 * lesions.sum()
    far = torch.nn.functional.max_pool2d(lesions.float()[:, None], 21, 1, 10)[:, 0] == 0
    assert not (changed & far).any()
