"""Models at hand, found without torch."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from brainviewer.storage import folders, models
from engines import model_package
from engines.model_card import ModelCard


@pytest.fixture
def model():
    folder = folders.models_dir() / "mine"
    card = ModelCard(engine="sagan", name="Mine", modality="FLAIR")
    model_package.write(folder, card, {"w": np.zeros(3, np.float32)}, {})
    return folder


def test_the_users_models_are_found(model):
    found, faults = models.find()
    mine = [each for each in found if each.folder == model]
    assert [each.card.name for each in mine] == ["Mine"]
    assert not models.is_bundled(mine[0])
    assert faults == []


def test_a_damaged_model_is_told_and_hides_no_other(model):
    shutil.copytree(model, model.with_name("other"))
    (model / "model.json").write_text("{}")
    found, faults = models.find()
    assert [each.folder.name for each in found if not models.is_bundled(each)] == ["other"]
    assert len(faults) == 1
