"""SAGAN learns from corrected slices what may change, and keeps what it knew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engines import finetuning, model_package
from engines.contract import silent
from engines.corrections import CORRECTED, REJECTED, CorrectedVolume
from engines.device import choose
from engines.errors import BadInput
from engines.finetuning import Figures, Plan, held_out
from engines.sagan import finetuning as sagan_finetuning
from engines.sagan.corrected_slices import Material, material
from engines.sagan.engine import Sagan
from engines.sagan.finetuning import Healthy, Judge, Tuning
from engines.sagan.inference import restore_pictures, restore_stack, smoothed_residual
from engines.sagan.losses import change_loss, keep_loss
from engines.sagan.settings import Settings
from engines.samples import Cohort
from tests.engines.corrected import some_outlined


@pytest.fixture(scope="module")
def model(phantom_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sagan")
    return Sagan.fit(phantom_cohort, folder / "model", Settings.tiny(), device="cpu")


@pytest.fixture(scope="module")
def corrected(phantom_cohort: Cohort) -> Sequence[CorrectedVolume]:
    return some_outlined(phantom_cohort)


@pytest.fixture(scope="module")
def found(corrected: Sequence[CorrectedVolume], phantom_cohort: Cohort) -> Material:
    plan = Plan(Path(), corrected, held_out(corrected), phantom_cohort, Path(), "cpu")
    return material(plan, Settings.tiny(), silent)


def test_outside_a_mask_nothing_may_change_and_inside_something_has_to() -> None:
    pictures = torch.zeros(1, 1, 2, 2)
    restored = torch.tensor([[[[0.4, 0.2], [0.0, 0.8]]]])
    lesion = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    assert keep_loss(pictures, restored, lesion).item() == pytest.approx((0.2 + 0.8) / 2)
    assert change_loss(pictures, restored, lesion, 0.5).item() == pytest.approx((0.1 + 0.5) / 2)
    weight = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])
    assert keep_loss(pictures, restored, lesion, weight).item() == pytest.approx(0.2)
    assert change_loss(pictures, restored, lesion, 0.5, weight).item() == pytest.approx(0.5)
    # A change the other way is a change too.
    assert change_loss(pictures, -restored, lesion, 0.5).item() == pytest.approx(0.3)


def test_slices_called_healthy_have_an_empty_mask_and_kept_slices_are_not_learned(
    found: Material, corrected: Sequence[CorrectedVolume]
) -> None:
    states = [state for one in corrected for state in one.states]
    apart = sum(int(one.chosen.sum() + one.calm.sum()) for one in found.apart)
    assert apart >= 1
    assert 6 < len(found.learned) <= states.count(CORRECTED) + states.count(REJECTED) - apart
    empty = ~found.learned.lesion.bool().any(3).any(2)[:, 0]
    assert 2 < int(empty.sum()) < len(empty) - 2
    assert all(one.wanted.any() for one in found.planted)


def test_corrections_are_learned(found: Material, model: Path) -> None:
    engine = Sagan(model, "cpu")
    tuning = Tuning(engine._generator, engine.settings, found, 0, torch.device("cpu"))
    shown = found.learned.shown
    pictures, foreground, heights = shown.batch(torch.arange(len(shown)))

    def terms() -> tuple[float, float]:
        restored = restore_pictures(engine._generator.eval(), engine.settings, pictures, heights)[:, :1]
        learned = found.learned
        return (
            keep_loss(pictures, restored, learned.lesion, foreground).item(),
            change_loss(pictures, restored, learned.lesion, sagan_finetuning.MARGIN, foreground).item(),
        )

    before = terms()
    for group in tuning.state.optimisers["generator"].param_groups:
        group["lr"] = 5e-3
    for iteration in range(25):
        tuning.step(iteration)
    after = terms()
    assert sum(after) < 0.9 * sum(before)


def test_masks_are_those_above_the_healthy_percentile(found: Material, model: Path) -> None:
    engine = Sagan(model, "cpu")
    parts = [
        (smoothed_residual(stack, restore_stack(engine._generator, engine.settings, stack, choose("cpu"), silent),
                           engine.settings), stack.foreground)
        for _, stack in found.healthy
    ]  # fmt: skip
    known = Healthy.measured(parts)
    marked = sum(int(known.masks(*part).sum()) for part in parts) / sum(int(part[1].sum()) for part in parts)
    assert marked == pytest.approx(0.01, abs=0.002)
    figures = Judge(engine.settings, found, choose("cpu")).figures(engine._generator)
    assert 0 <= figures.held_out <= 1
    assert 0 <= figures.replay <= 1
    assert 0 < figures.false_positives < 0.2


@pytest.mark.parametrize("better", [True, False])
def test_a_better_model_is_written_and_can_be_repeated(
    model: Path,
    corrected: Sequence[CorrectedVolume],
    phantom_cohort: Cohort,
    tmp_path: Path,
    monkeypatch,
    better: bool,
) -> None:
    values = iter([0.5, *[0.6 if better else 0.4] * 100])
    monkeypatch.setattr(Judge, "figures", lambda *_: Figures(next(values), 0.5, 0.1))
    old = {path.name: path.read_bytes() for path in model.iterdir()}
    tuned = finetuning.finetune(model, corrected, phantom_cohort, tmp_path / "new", device="cpu")
    assert {path.name: path.read_bytes() for path in model.iterdir()} == old
    assert (tuned.model is not None) is better
    assert {one.learned for one in tuned.examples} == {True, False}
    if not better:
        assert not (tmp_path / "new").exists()
        return
    assert model_package.verify(tmp_path / "new").parent == model_package.read_card(model).digest
    new, before = (model_package.load(at) for at in (tmp_path / "new", model))
    # Healthy residuals are the new generator's own.
    assert not np.array_equal(new.calibration["sagan.mean"], before.calibration["sagan.mean"])
    assert np.isfinite(Sagan(tmp_path / "new", "cpu").detect(corrected[0].volume()).heatmap).all()
    values = iter([0.5, *[0.6] * 100])
    finetuning.finetune(model, corrected, phantom_cohort, tmp_path / "again", device="cpu")
    again = model_package.read_weights(tmp_path / "again")
    assert all(np.array_equal(again[name], value) for name, value in new.weights.items())


def test_without_an_outline_to_test_on_nothing_is_learned(
    corrected: Sequence[CorrectedVolume], phantom_cohort: Cohort
) -> None:
    empty = [replace(one, mask=np.zeros_like(one.mask), states=(REJECTED,) * len(one.states)) for one in corrected]
    plan = Plan(Path(), empty, held_out(empty), phantom_cohort, Path(), "cpu")
    with pytest.raises(BadInput, match="too few"):
        material(plan, Settings.tiny(), silent)
