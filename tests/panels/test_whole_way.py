"""The whole way, nothing replaced: an installed engine, its trained model, a file, the worker, the views."""

from __future__ import annotations

import numpy as np
import pytest

from brainviewer.app import Viewer, make_application
from brainviewer.storage import folders
from engines import catalog
from tests.engines import fake_engine
from tests.engines.phantoms import write_cohort
from tests.torch_watch import torch_arrived

pytestmark = pytest.mark.display


@pytest.fixture(scope="session")
def qapp():
    return make_application()


def test_an_installed_engine_runs_on_a_file_and_finds_the_lesion(qtbot, tmp_path):
    cohort = write_cohort(tmp_path)
    with fake_engine.installed(tmp_path / "site"):
        fake_engine.make_model(folders.models_dir() / "brightness", cohort)
        ill = next(sample for sample in cohort.samples if sample.split == "test" and sample.label == "abnormal")
        viewer = Viewer()
        qtbot.addWidget(viewer.window)
        viewer.show()
        viewer.engines_panel.select_engine("fake")
        viewer.open([ill.volume])
        qtbot.waitUntil(lambda: viewer.session.complete, timeout=60_000)
        with qtbot.waitSignal(viewer.detecting.finished, timeout=60_000) as got:
            viewer.commands.run("analyse.run")
        run = got.args[0]
        in_process = catalog.create("fake", folders.models_dir() / "brightness").detect(viewer.session.volume)
        assert np.array_equal(run.result.heatmap, in_process.heatmap)
        assert run.title.startswith("Brightness")
        assert run.percentiles[~run.result.region].max() == 0
        assert run.percentiles.max() > 99
        assert viewer.session.active_run is run
        viewer.window.close()
    assert not torch_arrived()


@pytest.mark.slow
def test_the_sample_study_button_makes_opens_and_detects(qtbot, tmp_path):
    cohort = write_cohort(tmp_path)
    with fake_engine.installed(tmp_path / "site"):
        fake_engine.make_model(folders.models_dir() / "brightness", cohort)
        viewer = Viewer()
        qtbot.addWidget(viewer.window)
        viewer.show()
        viewer.engines_panel.select_engine("fake")
        viewer.viewport.empty.demo.click()
        qtbot.waitUntil(lambda: any(run.engine == "fake" for run in viewer.session.runs), timeout=120_000)
        assert viewer.session.series.modality == "FLAIR"
        viewer.window.close()
