"""Masks over the images, and the runs measured against one of them."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from tests.panels.conftest import write_head

pytestmark = pytest.mark.display


@pytest.fixture
def drawn(tmp_path):
    """The bright spot of the phantom head, drawn on a grid of half the voxel size."""
    affine = np.diag([1.0, 1.0, 1.5, 1.0])
    affine[:3, 3] = [-64.5, -72.5, -60.75]
    i, j, k = np.indices((128, 144, 80)) / 2 - 0.25
    spot = (i - 40) ** 2 + (j - 30) ** 2 + (k - 25) ** 2 < 16
    path = tmp_path / "drawn.nii.gz"
    nib.save(nib.Nifti1Image(spot.astype(np.uint8) * 4, affine), path)
    return path


@pytest.fixture
def masked(qtbot, viewer, open_head, drawn):
    open_head(viewer)
    viewer.masking.add(drawn)
    qtbot.waitUntil(lambda: len(viewer.masks.all) == 1, timeout=20_000)
    return viewer


def run(qtbot, viewer, *names):
    for name in names:
        with qtbot.waitSignal(viewer.detecting.finished, timeout=60_000):
            viewer.detecting.run(name, name.title(), viewer.engines_panel.model)


def test_a_mask_of_another_grid_lies_on_the_place_it_was_drawn(masked):
    (mask,) = masked.masks.all
    voxels = masked.session.volume.voxels
    assert mask.voxels.shape == voxels.shape
    spot = voxels > 800
    overlap = 2 * (spot & (mask.voxels > 0)).sum() / (spot.sum() + mask.voxels.sum())
    assert overlap > 0.9
    assert masked.viewport.view.masks == {mask.key}
    assert masked.masks.truth is mask


def test_a_mask_can_be_hidden_and_taken_away(qtbot, masked):
    (mask,) = masked.masks.all
    masked.masks.show(mask.key, False)
    assert masked.viewport.view.masks == frozenset()
    masked.masks.show(mask.key, True)
    assert masked.viewport.view.masks == {mask.key}
    masked.masking.remove(mask.key)
    assert masked.masks.all == ()
    assert masked.masks.truth is None


def test_a_mask_elsewhere_says_so_and_adds_nothing(qtbot, viewer, open_head, tmp_path):
    open_head(viewer)
    far = np.eye(4)
    far[:3, 3] = 5000
    path = tmp_path / "far.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), far), path)
    with qtbot.waitSignal(viewer.messages.posted, timeout=20_000) as told:
        viewer.masking.add(path)
    assert "inside the series in view" in told.args[0].text
    assert viewer.masks.all == ()


def test_the_mask_follows_to_a_sister_series_and_closing_the_study_drops_it(qtbot, viewer, tmp_path, drawn):
    folder = tmp_path / "study"
    folder.mkdir()
    write_head(folder / "head_flair.nii.gz")
    write_head(folder / "head_t1.nii.gz", shape=(64, 72, 30), bright=(40, 30, 20))
    viewer.open([folder])
    qtbot.waitUntil(lambda: viewer.session.complete, timeout=60_000)
    viewer.masking.add(drawn)
    qtbot.waitUntil(lambda: len(viewer.masks.all) == 1, timeout=20_000)
    other = next(one for one in viewer.session.study.series if one is not viewer.session.series)
    viewer.session.choose_series(other)
    qtbot.waitUntil(lambda: viewer.session.complete, timeout=60_000)
    qtbot.waitUntil(lambda: [m.voxels.shape for m in viewer.masks.all] == [other.shape], timeout=20_000)
    viewer.session.close_study(viewer.session.study.uid)
    assert viewer.masks.all == ()


def test_the_consensus_of_two_runs_is_where_both_are_high(qtbot, viewer, open_head):
    open_head(viewer)
    run(qtbot, viewer, "one", "two")
    viewer.display.threshold = 90.0
    viewer.masking.add_consensus(2)
    qtbot.waitUntil(lambda: len(viewer.masks.all) == 1, timeout=20_000)
    (mask,) = viewer.masks.all
    both = np.logical_and.reduce([(run.percentiles > 90) & run.result.region for run in viewer.session.runs])
    assert np.array_equal(mask.voxels > 0, both)
    assert "2 of 2" in mask.title


def test_figures_against_the_truth(qtbot, masked, tmp_path):
    run(qtbot, masked, "one", "two")
    masked.display.threshold = 90.0
    masked.commands.run("compare.figures")
    qtbot.waitUntil(lambda: masked.compare._figures is not None, timeout=10_000)
    figures = masked.compare._figures
    qtbot.waitUntil(lambda: figures.table.rowCount() == 2 and not masked.measuring.working, timeout=30_000)
    first = figures.rows()[0]
    assert first[0] == "One"
    assert float(first[1]) > 0.9
    assert first[8] == "1 of 1"
    assert len(figures.roc.lines) == 2
    assert figures.apart.lines[0].dots
    figures.save(tmp_path)
    written = {path.name for path in tmp_path.glob("*.*")}
    assert {"roc.png", "roc.svg", "roc.csv", "bland_altman.png", "figures.csv"} <= written
    assert "false positive rate" in (tmp_path / "roc.csv").read_text().casefold()
    masked.masks.set_truth("")
    qtbot.waitUntil(lambda: figures.table.rowCount() == 0, timeout=20_000)


def test_nothing_is_measured_until_somebody_looks(qtbot, masked):
    run(qtbot, masked, "one")
    qtbot.wait(500)
    assert masked.measuring.runs == ()


def test_the_mask_an_engine_made_is_a_layer(qtbot, viewer, open_head):
    open_head(viewer)
    run(qtbot, viewer, "one")
    (plain,) = viewer.session.runs
    assert viewer.masking.with_pseudo_mask == ()
    made = (viewer.session.volume.voxels > 800).astype(np.float32)
    told = replace(plain, key="0" * 32, result=replace(plain.result, extras={"pseudo mask": made}))
    viewer.session.add_run(told)
    assert viewer.masking.with_pseudo_mask == (told,)
    viewer.mask_list._offer()
    (action,) = [one for one in viewer.mask_list._consensus.menu().actions() if "Pseudo-mask" in one.text()]
    action.trigger()
    qtbot.waitUntil(lambda: len(viewer.masks.all) == 1, timeout=20_000)
    assert np.array_equal(viewer.masks.all[0].voxels, made > 0.5)
