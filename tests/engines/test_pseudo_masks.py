"""Pseudo-masks on disk: what is written comes back, and nothing altered is believed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from engines import pseudo_masks
from engines.errors import BadInput
from engines.pseudo_masks import Index, PseudoMask, PseudoStore
from engines.samples import Cohort
from tests.engines import phantoms


def made(seed: int, refined: bool = False) -> PseudoMask:
    random = np.random.default_rng(seed)
    heat = random.random((6, 5, 4)).astype(np.float16).astype(np.float32)
    return PseudoMask(
        map=heat,
        mask=heat > 0.5,
        refined=heat > 0.6 if refined else None,
        region=heat > 0.1,
        probability=np.array([0.1, np.nan, 0.7, 1.0], np.float32),
        gated=np.array([True, True, False, False]),
        confidence=np.array([1.0, 1.0, 0.7, 1.0], np.float32),
        slice_axis=2,
    )


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    (tmp_path / "cohort").mkdir()
    return phantoms.write_cohort(tmp_path / "cohort", (("abnormal", "train", 1), ("abnormal", "val", 1)))


@pytest.fixture
def store(tmp_path: Path, cohort: Cohort) -> PseudoStore:
    index = Index(engine="ddpt", model="m 1", model_digest="0" * 64, cohort=cohort.name, cohort_digest=cohort.digest)
    samples = enumerate(cohort.samples)
    return pseudo_masks.write(
        tmp_path / "store", index, ((sample, sample.volume.name, made(n, refined=n == 1)) for n, sample in samples)
    )


def test_what_is_written_comes_back(store: PseudoStore, cohort: Cohort) -> None:
    opened = PseudoStore.open(store.folder)
    opened.check_cohort(cohort)
    assert opened.subjects == cohort.subjects
    for number, sample in enumerate(cohort.samples):
        found, wanted = opened.for_sample(sample), made(number, refined=number == 1)
        for field in dataclasses.fields(PseudoMask):
            mine, theirs = getattr(found, field.name), getattr(wanted, field.name)
            if theirs is None:
                assert mine is None
            else:
                assert np.array_equal(mine, theirs, equal_nan=field.name == "probability")


def test_altered_file_is_refused(store: PseudoStore, cohort: Cohort) -> None:
    file = store.folder / store.index.volumes[0].file
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(BadInput, match="altered"):
        store.for_sample(cohort.samples[0])


@pytest.mark.parametrize("text", ["", "{}", '{"format": "something else"}'])
def test_folder_without_a_valid_index_is_refused(store: PseudoStore, text: str) -> None:
    (store.folder / pseudo_masks.INDEX).write_text(text)
    with pytest.raises(BadInput):
        PseudoStore.open(store.folder)


def test_a_file_outside_the_folder_cannot_be_named(store: PseudoStore) -> None:
    path = store.folder / pseudo_masks.INDEX
    path.write_text(path.read_text().replace(store.index.volumes[0].file, "../other.safetensors"))
    with pytest.raises(BadInput):
        PseudoStore.open(store.folder)


def test_another_cohort_is_told(store: PseudoStore, cohort: Cohort) -> None:
    with pytest.raises(BadInput, match="another cohort"):
        store.check_cohort(dataclasses.replace(cohort, digest="f" * 64))


def test_unknown_subject_is_told(store: PseudoStore, cohort: Cohort) -> None:
    with pytest.raises(BadInput, match="no pseudo-mask"):
        store.for_sample(dataclasses.replace(cohort.samples[0], subject="nobody"))
