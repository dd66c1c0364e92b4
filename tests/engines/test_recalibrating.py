"""Studies called healthy join the healthy set of engines that learn from healthy scans only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from engines import finetuning, model_package
from engines.calibration import Calibration, SliceScale
from engines.corrections import AUTO, CORRECTED, REJECTED, CorrectedVolume
from engines.errors import BadInput
from engines.files import load_mask, load_volume
from engines.healthy import HealthyPart, with_parts
from engines.recalibrating import healthy_slices, healthy_studies, joined, recalibrate
from engines.result import PercentileScale
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


def partly_healthy(sample: Sample) -> CorrectedVolume:
    """A reader outlined the lesion and called every other slice but the first healthy."""
    one = a_correction(sample, CORRECTED)
    shown = one.mask.any((0, 1))
    states = (AUTO, *(CORRECTED if ill else REJECTED for ill in shown[1:]))
    return replace(one, states=states)


def test_slices_called_healthy_beside_a_lesion_are_known(
    phantom_cohort: Cohort, healthy: list[CorrectedVolume]
) -> None:
    ill = next(one for one in phantom_cohort.samples if one.label == "abnormal" and one.split == "test")
    one = partly_healthy(ill)
    across = replace(one, slice_axis=0, states=(REJECTED,) * one.mask.shape[0])
    ((found, called),) = healthy_slices([*healthy, one, across, a_correction(ill, CORRECTED)])
    assert found is one
    assert called.tolist() == [False, *(~one.mask.any((0, 1)))[1:]]


def test_healthy_slices_change_the_percentiles_by_their_share(
    model: Path, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    ill = next(one for one in phantom_cohort.samples if one.label == "abnormal" and one.split == "test")
    one = partly_healthy(ill)
    called = np.array([state == REJECTED for state in one.states])
    bright = one.volume().voxels.copy()
    bright[:16] *= np.where(called, 1.6, 1.0)
    nibabel.save(nibabel.Nifti1Image(bright, one.affine), tmp_path / "bright.nii.gz")
    one = replace(one, scan=tmp_path / "bright.nii.gz")
    recalibrate(model, [one], phantom_cohort, tmp_path / "new", device="cpu")
    old, new = (Calibration.from_arrays(model_package.read_calibration(at)) for at in (model, tmp_path / "new"))
    result = FakeEngine(model).detect(one.volume())
    inside = result.region & called
    values, share = result.heatmap[inside], inside.sum() / result.region.sum()
    assert 0.2 < share < 0.95
    for value in np.quantile(values, [0.3, 0.7, 0.99]):
        wanted = (old.subjects * old.heatmap.percentile(value) + share * 100 * (values <= value).mean()) / (
            old.subjects + share
        )
        assert new.heatmap.percentile(value) == pytest.approx(wanted, abs=0.3)
    assert np.abs(new.heatmap.percentile(values) - old.heatmap.percentile(values)).max() > 2
    assert new.slices.means.tolist() == old.slices.means.tolist()
    assert new.slices.scale.percentiles.tolist() != old.slices.scale.percentiles.tolist()
    assert new.subjects == old.subjects


def test_a_single_slice_is_ranked_among_those_that_were_known() -> None:
    line = np.linspace(0, 1, 5)
    scale = PercentileScale(np.array([0.0, 10.0]), np.array([0.0, 100.0]))
    slices = SliceScale(line, np.zeros(5), np.ones(5), scale)
    part = HealthyPart(np.full(50, 12.0), np.array([8.0]), np.array([0.5]), share=1.0)
    found = with_parts(Calibration(scale, slices, None, subjects=3), [part])
    # Three subjects lie below 12, the part at it; of the slices 2.4 of 3 lie below 8, and half of the new one.
    assert found.heatmap.percentile(10.0) == pytest.approx(75)
    assert found.heatmap.percentile(12.0) == pytest.approx(100)
    assert found.slices.scale.percentile(8.0) == pytest.approx(100 * 2.9 / 4, abs=0.1)
    assert with_parts(found, []) is found


def test_healthy_slices_alone_are_enough_to_learn_from(model: Path, phantom_cohort: Cohort, tmp_path: Path) -> None:
    ill = [one for one in phantom_cohort.samples if one.label == "abnormal" and one.split == "test"][:2]
    corrected = [partly_healthy(one) for one in ill]
    tuned = finetuning.finetune(model, corrected, phantom_cohort, tmp_path / "new", device="cpu")
    assert tuned.verdict.accepted
    old, new = (model_package.read_calibration(at)["heatmap.percentiles"] for at in (model, tuned.model))
    assert old.tolist() != new.tolist()
