"""Simulated readers correct the model's masks from drawn lesions, and the curve says what that brings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines import corrections
from engines.corrections import CORRECTED, REJECTED
from engines.files import load_mask, load_volume
from engines.metrics import dice
from engines.rasalore import simulated_readers
from engines.rasalore.engine import RasaLoreEngine
from engines.rasalore.settings import Settings
from engines.rasalore.simulated_readers import COLUMNS, curve, masks, read
from engines.samples import Cohort
from engines.volume import Volume
from tests.engines.phantoms import write_cohort

PLAN = (("normal", "train", 2), ("abnormal", "train", 3), ("normal", "val", 2), ("abnormal", "test", 1))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return write_cohort(tmp_path_factory.mktemp("cohort"), PLAN)


@pytest.fixture(scope="module")
def model(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return RasaLoreEngine.fit(cohort, tmp_path_factory.mktemp("model") / "base", Settings.tiny())


def test_a_simulated_reader_draws_the_truth_and_empties_what_is_healthy(model: Path, cohort: Cohort) -> None:
    sample = next(one for one in cohort.samples if one.label == "abnormal" and one.split == "train")
    truth = load_mask(sample, load_volume(sample))
    found = read(RasaLoreEngine(model, "cpu"), sample)
    states = np.array(found.states)
    drawn = states == CORRECTED
    assert drawn.any()
    assert np.array_equal(found.mask[:, :, drawn], truth[:, :, drawn])
    assert not found.mask[:, :, states == REJECTED].any()


def test_what_is_shown_fades_where_the_network_alone_would_mark(model: Path, cohort: Cohort, monkeypatch) -> None:
    sample = next(one for one in cohort.samples if one.split == "test")
    truth = load_mask(sample, load_volume(sample))
    engine = RasaLoreEngine(model, "cpu")
    look = engine.look

    def certain(volume: Volume) -> object:
        # The network marks every pixel, and slices above the middle are held for healthy.
        seen = look(volume)
        everywhere = replace(seen.predicted, probability=np.ones_like(seen.predicted.probability))
        shown = np.where(seen.stack.heights > np.median(seen.stack.heights), 0.0, 1.0).astype(np.float32)
        return replace(seen, predicted=everywhere, shown=shown)

    monkeypatch.setattr(engine, "look", certain)
    network, shown = masks(engine, sample)
    assert network.any((0, 1)).sum() > shown.any((0, 1)).sum() > 0
    found = simulated_readers.tested(engine, [sample])
    assert found.dice == pytest.approx(dice(truth, network))
    assert found.shown_dice == pytest.approx(dice(truth, shown))
    empty = ~truth.any((0, 1))
    assert found.healthy == pytest.approx(network[:, :, empty].mean())
    assert found.shown_healthy == pytest.approx(shown[:, :, empty].mean())
    assert found.shown_healthy < found.healthy


def test_the_curve_has_a_row_for_each_number_of_subjects(
    model: Path, cohort: Cohort, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("engines.rasalore.finetuning.MOST_STEPS", 3)
    rows = curve(model, cohort, [1, 3], tmp_path)
    assert [row["subjects"] for row in rows] == [1, 3]
    assert rows[0]["slices"] < rows[1]["slices"]
    assert all(0 <= row[name] <= 1 for row in rows for name in COLUMNS if "dice" in name or "healthy" in name)
    assert rows[0]["step"] <= 3
    assert (tmp_path / "curve.csv").read_text().startswith(",".join(COLUMNS))
    assert len(corrections.read(tmp_path / "corrections")) == 3
