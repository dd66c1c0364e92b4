"""A whole viewer with real workers, and a phantom head to open in it."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from brainviewer.app import Viewer, make_application
from brainviewer.storage import folders
from engines import model_package
from engines.model_card import Metric, ModelCard, TrainingData
from tests.torch_watch import torch_arrived

ENGINE = "tests.window_engine:"


@pytest.fixture(scope="session")
def qapp():
    return make_application()


def write_head(path, shape=(64, 72, 40), bright=(40, 30, 25)):
    """A ball of tissue with a bright spot, as NIfTI."""
    i, j, k = np.indices(shape)
    middle = np.array(shape) / 2
    ball = (i - middle[0]) ** 2 + (j - middle[1]) ** 2 + (1.6 * (k - middle[2])) ** 2 < (0.42 * shape[0]) ** 2
    voxels = np.where(ball, 300 + 5 * np.sin(i + j), 0).astype(np.float32)
    spot = (i - bright[0]) ** 2 + (j - bright[1]) ** 2 + (k - bright[2]) ** 2 < 16
    voxels[spot] = 900
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = [-64, -72, -60]
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


@pytest.fixture
def head(tmp_path):
    return write_head(tmp_path / "head_flair.nii.gz")


@pytest.fixture
def model():
    """A model of the first engine at hand, so that there is something to choose; the test engine does not read it."""
    import engines

    key = next(iter(engines.cards()))
    card = ModelCard(
        engine=key,
        name="Testing",
        modality="FLAIR",
        training_data=(TrainingData(cohort="phantoms", digest="", subjects=12, licence="CC0"),),
        metrics=(Metric(name="AUROC", value=0.91, low=0.85, high=0.95),),
    )
    folder = folders.models_dir() / "testing"
    model_package.write(folder, card, {"w": np.zeros(3, np.float32)}, {})
    return folder


@pytest.fixture
def make_viewer(qapp, qtbot, model):
    made = []

    def make(detect="detect"):
        viewer = Viewer(detect=ENGINE + detect)
        made.append(viewer)
        qtbot.addWidget(viewer.window)
        viewer.show()
        with qtbot.waitExposed(viewer.window):
            pass
        viewer.window.activateWindow()
        qtbot.waitUntil(viewer.window.isActiveWindow, timeout=5_000)
        return viewer

    yield make
    for viewer in made:
        viewer.window.close()
        assert viewer.reading.pid is None
        assert viewer.engines.pid is None
    qapp.processEvents()
    assert not torch_arrived()


@pytest.fixture
def viewer(make_viewer):
    return make_viewer()


@pytest.fixture
def open_head(qtbot, head):
    """Open the phantom head and wait until all of it is there."""

    def open_it(viewer):
        viewer.open([head])
        qtbot.waitUntil(lambda: viewer.session.complete, timeout=60_000)
        return viewer.session.volume

    return open_it
