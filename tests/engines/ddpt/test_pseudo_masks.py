"""The command that writes pseudo-masks for a second stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.ddpt import pseudo_masks
from engines.files import load_volume
from engines.pseudo_masks import PseudoStore
from engines.samples import Cohort


@pytest.fixture(scope="module")
def store(tiny_model: Path, phantom_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> PseudoStore:
    out = tmp_path_factory.mktemp("pseudo") / "masks"
    words = [str(tiny_model), str(phantom_cohort.path), "--out", str(out), "--split", "train", "--split", "test"]
    assert pseudo_masks.main(words) == 0
    return PseudoStore.open(out)


def test_every_volume_of_the_wanted_splits_is_there_on_its_own_grid(store: PseudoStore, phantom_cohort: Cohort) -> None:
    wanted = [s for s in phantom_cohort.samples if s.split != "val"]
    store.check_cohort(phantom_cohort)
    assert [entry.subject for entry in store.index.volumes] == [sample.subject for sample in wanted]
    for sample in wanted:
        found = store.for_sample(sample)
        assert found.map.shape == found.mask.shape == load_volume(sample).shape
        assert not (found.mask & ~found.region).any()
        assert not (found.map[~found.region]).any()
        looked_at = found.region.any((0, 1))
        assert np.isfinite(found.probability[looked_at]).all()


def test_known_healthy_slices_have_no_mask_and_known_lesions_are_not_gated(
    store: PseudoStore, phantom_cohort: Cohort
) -> None:
    for sample in phantom_cohort.select(split="train").samples:
        found = store.for_sample(sample)
        if sample.slice_labels:
            assert found.gated.tolist() == [label == "0" for label in sample.slice_labels]
        assert not found.mask[..., found.gated].any()


def test_labels_of_test_subjects_are_not_looked_at(store: PseudoStore, phantom_cohort: Cohort) -> None:
    for sample in phantom_cohort.select(split="test").samples:
        found = store.for_sample(sample)
        assert np.array_equal(found.gated, np.nan_to_num(found.probability) < 0.5)


def test_known_trouble_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pseudo_masks.main([str(tmp_path), str(tmp_path / "none.csv"), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
