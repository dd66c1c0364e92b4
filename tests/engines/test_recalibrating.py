"""Studies called healthy join the healthy set of engines that learn from healthy scans only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines import finetuning, model_package
from engines.corrections import AUTO, CORRECTED, REJECTED, CorrectedVolume
from engines.errors import BadInput
from engines.files import load_mask, load_volume
from engines.recalibrating import healthy_studies, joined
from engines.samples import Cohort, Sample
from tests.engines.fake_engine import FakeEngine

pytestmark = pytest.mark.usefixtures("fake_engine_installed")


@pytest.fixture(scope="module")
def model(fake_engine_installed, phantom_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FakeEngine.fit(phantom_cohort, tmp_path_factory.mktemp("fake") / "model")


def a_correction(sample: Sample, state: str) -> CorrectedVolume:
    volume = load_volume(sample)
    drawn = load_mask(sample, volume) if state == CORRECTED else None
    mask = np.zeros(volume.shape, bool) if drawn is None else drawn
    automatic = np.zeros(volume.shape, bool)
    automatic[10:14, 10:14, 3:6] = True
    return CorrectedVolume(
        f"c{sample.subject}", sample.subject, sample.subject, "R", mask, automatic, (state,) * volume.shape[2], 2,
        volume.affine, sample.volume, sample.modality,
    )  # fmt: skip


@pytest.fixture(scope="module")
def healthy(phantom_cohort: Cohort) -> list[CorrectedVolume]:
    samples = [one for one in phantom_cohort.samples if one.label == "normal" and one.split == "test"]
    return [a_correction(one, REJECTED) for one in samples[:2]]


def test_only_studies_without_anything_left_are_healthy(healthy: list[CorrectedVolume]) -> None:
    one = healthy[0]
    undecided = CorrectedVolume(
        "u", "u", "u", "R", one.mask, one.automatic, (REJECTED, *(AUTO,) * (len(one.states) - 1)), 2, one.affine
    )
    drawn = CorrectedVolume("d", "d", "d", "R", one.automatic, one.automatic, one.states, 2, one.affine)
    assert healthy_studies([one, undecided, drawn]) == [one]


def test_they_join_the_healthy_subjects_for_calibration(phantom_cohort: Cohort, healthy: list[CorrectedVolume]) -> None:
    found = joined(phantom_cohort, healthy)
    more = found.samples[len(phantom_cohort.samples) :]
    assert [(one.label, one.split, one.volume) for one in more] == [("normal", "val", one.scan) for one in healthy]
    assert len({one.subject for one in more} - set(phantom_cohort.subjects)) == 2


def test_percentiles_are_measured_anew_and_weights_stay(
    model: Path, phantom_cohort: Cohort, healthy: list[CorrectedVolume], tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    ill = [one for one in phantom_cohort.samples if one.label == "abnormal" and one.split == "test"][:1]
    corrected = [*healthy, *(a_correction(one, CORRECTED) for one in ill)]
    tuned = finetuning.finetune(model, corrected, phantom_cohort, tmp_path / "new", device="cpu")
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before
    assert tuned.verdict.accepted == (tmp_path / "new").exists()
    assert "healthy study is marked" in tuned.verdict.reason
    if tuned.model is not None:
        old, new = model_package.verify(model), model_package.verify(tuned.model)
        assert new.weights.sha256 == old.weights.sha256
        assert new.calibration.sha256 != old.calibration.sha256
        assert (new.parent, new.version) == (old.digest, "2")


def test_without_a_healthy_study_there_is_nothing_to_learn(model: Path, phantom_cohort: Cohort, tmp_path: Path) -> None:
    ill = next(one for one in phantom_cohort.samples if one.label == "abnormal")
    with pytest.raises(BadInput, match="healthy scans only"):
        finetuning.finetune(model, [a_correction(ill, CORRECTED)], phantom_cohort, tmp_path / "new", device="cpu")
    assert not (tmp_path / "new").exists()
