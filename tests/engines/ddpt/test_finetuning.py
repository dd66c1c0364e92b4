"""DDPT learns from corrected slices where to look, and keeps what it knew."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from engines import finetuning, model_package
from engines.contract import silent
from engines.corrections import CORRECTED, REJECTED, CorrectedVolume
from engines.ddpt import finetuning as ddpt_finetuning
from engines.ddpt.corrected_slices import Material, Rows, material
from engines.ddpt.engine import Ddpt
from engines.ddpt.finetuning import Tuned, Tuning
from engines.ddpt.losses import attention_loss, places_loss
from engines.ddpt.settings import Settings
from engines.device import choose
from engines.finetuning import Figures, Plan, held_out
from engines.samples import Cohort
from tests.engines.corrected import some_outlined
from tests.engines.ddpt.golden import tiny_clip


@pytest.fixture(scope="module")
def corrected(phantom_cohort: Cohort) -> Sequence[CorrectedVolume]:
    return some_outlined(phantom_cohort)


@pytest.fixture(scope="module")
def clip_model(phantom_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model on a tiny random CLIP."""
    folder = tmp_path_factory.mktemp("clip-model")
    tiny_clip(vocabulary=49408).save_pretrained(folder / "clip")
    settings = dataclasses.replace(Settings.tiny(), backbone="clip", clip=str(folder / "clip"), weights="")
    return Ddpt.fit(phantom_cohort, folder / "model", settings, device="cpu")


def opened(
    model: Path, corrected: Sequence[CorrectedVolume], cohort: Cohort, folder: Path
) -> tuple[Tuned, Settings, Material]:
    plan = Plan(model, corrected, held_out(corrected), cohort, folder, "cpu")
    engine = Ddpt(model, "cpu")
    found = material(plan, engine.settings, engine.backbone, choose("cpu"), silent)
    return Tuned(engine.backbone, engine.prompts), engine.settings, found


def test_attention_loss_is_the_divergence_over_places() -> None:
    lesion = torch.tensor([[0.0, 0.5, 0.5, 0.0], [1.0, 0.0, 0.0, 0.0]])
    # The class token's own share and the prompts' are left out: places are made to sum to 1.
    attention = torch.tensor([[0.1, 0.1, 0.1, 0.1], [0.2, 0.0, 0.0, 0.0]])
    assert attention_loss(attention, lesion).tolist() == pytest.approx([np.log(2), 0.0], abs=1e-6)
    assert attention_loss(attention, 7 * lesion).tolist() == pytest.approx([np.log(2), 0.0], abs=1e-6)


def test_places_loss_counts_the_brain_alone() -> None:
    wanted = torch.tensor([[0.5, 1.0, 0.0]])
    inside = torch.tensor([[1.0, 1.0, 0.0]])
    assert places_loss(torch.tensor([[0.0, 30.0, 30.0]]), wanted, inside).item() == pytest.approx(0, abs=1e-6)
    assert places_loss(torch.tensor([[0.0, 0.0, 30.0]]), wanted, inside).item() == pytest.approx(
        np.log(2) / 2, abs=1e-6
    )


def test_readers_fix_the_labels_and_decided_slices_are_not_replayed(
    tiny_model: Path, corrected: Sequence[CorrectedVolume], phantom_cohort: Cohort, tmp_path: Path
) -> None:
    _, _, found = opened(tiny_model, corrected, phantom_cohort, tmp_path)
    learned = Rows.joined(found.learned)
    states = [state for one in corrected for state in one.states]
    apart = sum(int(one.chosen.sum()) for one in found.apart)
    assert apart >= 1
    assert len(learned) + apart <= states.count(CORRECTED) + states.count(REJECTED)
    assert int(learned.labels.sum()) > 2
    assert int((~learned.labels).sum()) > 2
    assert torch.equal(learned.lesion.sum(1) > 0, learned.labels)
    # The same subjects as training subjects: what was decided is neither replayed nor judged.
    twice = dataclasses.replace(
        phantom_cohort,
        samples=tuple(
            dataclasses.replace(one, split="train") if one.subject in {c.subject for c in corrected} else one
            for one in phantom_cohort.samples
        ),
    )
    again = opened(tiny_model, corrected, twice, tmp_path)[2]
    own = [len(a) + len(b) for a, b in zip(again.replay[-2:], again.healthy[-2:], strict=True)]
    assert sum(own) <= states.count("auto")
    assert sum(map(len, again.replay)) == sum(map(len, found.replay))


@pytest.mark.parametrize("kind", ["compact", "clip"])
def test_attention_moves_to_what_readers_outlined(
    kind: str, corrected: Sequence[CorrectedVolume], phantom_cohort: Cohort, tmp_path: Path, monkeypatch, request
) -> None:
    model = request.getfixturevalue("tiny_model" if kind == "compact" else "clip_model")
    network, settings, found = opened(model, corrected, phantom_cohort, tmp_path)
    learned = Rows.joined(found.learned)
    ill = learned[learned.labels]
    ill = ill.to(torch.device("cpu"))

    def apart() -> float:
        with torch.no_grad():
            return float(attention_loss(network.watch(ill.seen, settings).attention, ill.lesion).mean())

    monkeypatch.setattr(ddpt_finetuning, "LEARNING_RATE", 1e-2)
    before, frozen = apart(), [value.clone() for value in network.looker[0].parameters()]
    tuning = Tuning(network, settings, found, 0, torch.device("cpu"))
    for iteration in range(30):
        tuning.step(iteration)
    assert apart() < before - (0.1 if kind == "compact" else 0.005)
    changed = [not torch.equal(a, b) for a, b in zip(frozen, network.looker[0].parameters(), strict=True)]
    names = [name for name, _ in network.looker[0].named_parameters()]
    if kind == "clip":
        assert not any(changed)
    else:
        assert not any(moved for name, moved in zip(names, changed, strict=True) if name.startswith("encoder."))
        assert any(changed)


@pytest.mark.parametrize("better", [True, False])
def test_a_better_model_is_written_and_can_be_repeated(
    tiny_model: Path,
    corrected: Sequence[CorrectedVolume],
    phantom_cohort: Cohort,
    tmp_path: Path,
    monkeypatch,
    better: bool,
) -> None:
    values = iter([0.5, *[0.6 if better else 0.4] * 100])
    monkeypatch.setattr(ddpt_finetuning, "figures", lambda *_: Figures(next(values), 0.5, 0.1))
    old = {path.name: path.read_bytes() for path in tiny_model.iterdir()}
    tuned = finetuning.finetune(tiny_model, corrected, phantom_cohort, tmp_path / "new", device="cpu")
    assert {path.name: path.read_bytes() for path in tiny_model.iterdir()} == old
    assert (tuned.model is not None) is better
    assert {one.learned for one in tuned.examples} == {True, False}
    if not better:
        assert not (tmp_path / "new").exists()
        return
    assert model_package.verify(tmp_path / "new").parent == model_package.read_card(tiny_model).digest
    weights = [model_package.read_weights(at) for at in (tiny_model, tmp_path / "new")]
    assert weights[0].keys() == weights[1].keys()
    assert not np.array_equal(weights[0]["prompts.visual"], weights[1]["prompts.visual"])
    found = Ddpt(tmp_path / "new", "cpu").detect(corrected[0].volume())
    assert np.isfinite(found.heatmap).all()
    values = iter([0.5, *[0.6] * 100])
    finetuning.finetune(tiny_model, corrected, phantom_cohort, tmp_path / "again", device="cpu")
    again = model_package.read_weights(tmp_path / "again")
    assert all(np.array_equal(again[name], value) for name, value in weights[1].items())


def test_figures_are_those_of_the_masks_that_detection_shows(
    tiny_model: Path, corrected: Sequence[CorrectedVolume], phantom_cohort: Cohort, tmp_path: Path
) -> None:
    network, settings, found = opened(tiny_model, corrected, phantom_cohort, tmp_path)
    one, engine = found.apart[0], Ddpt(tiny_model, "cpu")
    seen = engine.find(one.stack)
    wanted = ddpt_finetuning.pseudo_masks(seen.blend, seen.probability < settings.gate, settings)
    assert np.array_equal(ddpt_finetuning.masks_of(network, one, settings)[one.chosen], wanted[one.chosen])
    figures = ddpt_finetuning.figures(network, found, settings)
    assert 0 <= figures.held_out <= 1
    assert 0 <= figures.replay <= 1
    assert 0 <= figures.false_positives < 1
