"""The Train workspace: start, curves, pause, cancel, promote and discard."""

from __future__ import annotations

import numpy as np
import pytest

from brainviewer.jobs.training import losses_in
from brainviewer.panels.train import TrainView
from brainviewer.storage import corrections, folders
from brainviewer.storage.corrections import About
from engines import model_package
from engines.model_card import ModelCard

pytestmark = pytest.mark.display


@pytest.fixture
def base():
    folder = folders.models_dir() / "base"
    card = ModelCard(engine="rasalore", name="Small RASALoRE", modality="FLAIR")
    model_package.write(folder, card, {"w": np.ones(3, np.float32)}, {})
    return folder


@pytest.fixture
def training(qtbot, viewer, open_head, base, tmp_path):
    """A viewer with a correction in its library, a model that learns, and the Train workspace on show."""
    open_head(viewer)
    study, series = viewer.session.study, viewer.session.series
    about = About(series.uid, study.uid, "Reader", series.shape, series.affine, 2)
    corrections.create(about, np.zeros(series.shape, np.uint8))
    cohort = tmp_path / "cohort.csv"
    cohort.write_text("")
    viewer.settings.cohort = str(cohort)
    viewer.training._function = "tests.window_training:finetune"
    viewer.commands.run("correct.train")
    view = viewer.window.findChild(TrainView)
    qtbot.waitUntil(view._start.isEnabled)
    # Other engines of the test's home and of the program learn from corrections too.
    view._choice.setCurrentText("Small RASALoRE 1")
    return viewer, view


def own_cards(view):
    """Cards of the versions of the test's own model."""
    return [model.card for model in view._models if model.card.name == "Small RASALoRE"]


def test_losses_are_read_from_the_progress_text():
    assert losses_in("mask 0.3  points 2e-3") == {"mask": 0.3, "points": 0.002}
    assert losses_in("preparing TCGA_1") == {}
    assert losses_in("training") == {}


def test_a_training_draws_its_curve_and_can_be_paused_and_gone_on_with_and_promoted(qtbot, training):
    viewer, view = training
    view.start()
    qtbot.waitUntil(lambda: len(viewer.training.round.curve) > 4, timeout=60_000)
    qtbot.waitUntil(lambda: "left" in view._state.text() or "of 30" in view._state.text())
    assert list(view._curve._lines) == ["mask", "points"]
    viewer.training.pause()
    qtbot.waitUntil(lambda: viewer.training.job is None, timeout=20_000)
    qtbot.waitUntil(lambda: view._state.text() == "Paused")
    view._pause_or_go_on()
    qtbot.waitUntil(lambda: viewer.training.round.tuned is not None, timeout=60_000)
    qtbot.waitUntil(view.result.promote.isVisible)
    assert "rose from 0.500 to 0.700" in view.result.verdict.text()
    assert view.result.promote.isEnabled()
    with qtbot.waitSignal(viewer.training.promoted, timeout=20_000):
        view._promote()
    cards = {card.version: card for card in own_cards(view)}
    assert cards["2"].parent == cards["1"].digest
    tops = [view.tree.topLevelItem(n) for n in range(view.tree.topLevelItemCount())]
    assert [item.childCount() for item in tops if item.text(0) == "Small RASALoRE 1"] == [1]
    assert list((folders.data_dir() / "training").iterdir()) == []
    assert viewer.training.round is None


def test_a_model_that_is_not_better_cannot_be_promoted_and_cancel_leaves_nothing(qtbot, training):
    viewer, view = training
    viewer.training._function = "tests.window_training:finetune_in_vain"
    view.start()
    qtbot.waitUntil(lambda: viewer.training.round.tuned is not None, timeout=60_000)
    qtbot.waitUntil(view.result.verdict.isVisible)
    assert "The old model stays" in view.result.verdict.text()
    assert not view.result.promote.isEnabled()
    view.result.discard.click()
    qtbot.waitUntil(lambda: not view.result.isVisible())
    view.start()
    qtbot.waitUntil(lambda: viewer.training.round is not None and len(viewer.training.round.curve) > 2, timeout=60_000)
    viewer.training.cancel()
    qtbot.waitUntil(lambda: viewer.training.job is None and viewer.training.round is None, timeout=20_000)
    assert [card.version for card in own_cards(view)] == ["1"]
