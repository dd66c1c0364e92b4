"""Runs on a sister series are laid over the series in view, where they belong in the patient."""

from __future__ import annotations

import numpy as np
import pytest

from tests.panels.conftest import write_head

pytestmark = pytest.mark.display


def test_a_run_on_flair_is_compared_on_the_t1_of_the_same_study(qtbot, viewer, tmp_path):
    study = tmp_path / "study"
    study.mkdir()
    write_head(study / "sub-1_FLAIR.nii.gz")
    write_head(study / "sub-1_T1w.nii.gz", shape=(64, 72, 30), bright=(10, 10, 10))
    viewer.open([study])
    qtbot.waitUntil(lambda: viewer.session.complete, timeout=60_000)
    flair, t1 = (next(one for one in viewer.session.study.series if one.modality == name) for name in ("FLAIR", "T1"))
    viewer.session.choose_series(flair)
    qtbot.waitUntil(lambda: viewer.session.complete, timeout=60_000)
    with qtbot.waitSignal(viewer.detecting.finished, timeout=60_000) as got:
        viewer.commands.run("analyse.run")
    run = got.args[0]
    viewer.session.choose_series(t1)
    qtbot.waitUntil(lambda: viewer.session.complete and len(viewer.aligning.runs) == 1, timeout=60_000)
    (moved,) = viewer.aligning.runs
    assert viewer.session.runs == ()
    assert moved.percentiles.shape == t1.shape
    # Both affines share origin and voxel size, so the slices that both have are the same.
    assert np.array_equal(moved.percentiles, run.percentiles[:, :, :30])
    assert np.array_equal(moved.result.region, run.result.region[:, :, :30])
    viewer.commands.run("compare.side")
    qtbot.waitUntil(lambda: len(viewer.compare.views) == 1, timeout=10_000)
    viewer.session.choose_series(flair)
    qtbot.waitUntil(lambda: viewer.aligning.runs == (run,), timeout=10_000)
