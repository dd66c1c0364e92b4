"""The Report workspace: pages appear by themselves, follow what is written, and are saved; exports end in a folder."""

from __future__ import annotations

import pytest

from brainviewer.panels.export_dialog import ExportDialog
from brainviewer.panels.theme import Theme
from brainviewer.storage import audit, nodes

pytestmark = pytest.mark.display


@pytest.fixture
def reported(viewer, open_head, qtbot):
    """A viewer with a run, its Report workspace on show with pages."""
    open_head(viewer)
    viewer.commands.run("analyse.run")
    qtbot.waitUntil(lambda: bool(viewer.session.runs) and not viewer.keeping._writing, timeout=60_000)
    viewer.commands.run("report.workspace")
    pages = viewer.report._pages
    qtbot.waitUntil(lambda: pages.count > 0 and pages.isVisible(), timeout=60_000)
    return viewer


def test_without_a_run_it_says_what_to_do(viewer, open_head):
    open_head(viewer)
    viewer.commands.run("report.workspace")
    assert "Run an engine" in viewer.report._empty.text()
    assert viewer.report._empty.isVisible()
    assert not viewer.commands.qaction("report.save").isEnabled()


def test_pages_follow_what_is_written(reported, qtbot):
    pages = reported.report._pages
    before = pages._pictures[0].toImage()
    qtbot.keyClicks(reported.report.impression, "A bright spot.")
    qtbot.waitUntil(lambda: pages._pictures[0].toImage() != before, timeout=60_000)
    assert pages.count >= 2


@pytest.mark.parametrize(("name", "beginning"), [("r.pdf", b"%PDF"), ("r.html", b"<!DOCTYPE html>")])
def test_the_report_is_saved(reported, qtbot, tmp_path, name, beginning):
    reported.report.impression.setPlainText("A bright spot.")
    reported.report.save(tmp_path / name)
    qtbot.waitUntil(lambda: (tmp_path / name).exists(), timeout=60_000)
    assert (tmp_path / name).read_bytes().startswith(beginning)
    qtbot.waitUntil(lambda: [one.what for one in audit.entries()] == ["open", "run", "report"], timeout=10_000)
    assert audit.verify().problem == ""


def test_runs_are_exported(reported, qtbot, tmp_path):
    reported.report._delivering.export(["json", "dicom-seg"], tmp_path / "out", deidentify=True)
    qtbot.waitUntil(lambda: len(list((tmp_path / "out").glob("*_seg.dcm"))) == 1, timeout=60_000)
    qtbot.waitUntil(lambda: reported.message_bar.shown is not None, timeout=10_000)
    qtbot.waitUntil(lambda: not reported.reading.jobs, timeout=60_000)
    assert [one.what for one in audit.entries()][-1] == "export"


def test_exported_maps_open_again_as_a_heatmap(reported, qtbot, tmp_path):
    import numpy as np

    reported.report._delivering.export(["parametric-map"], tmp_path / "out", deidentify=False)
    qtbot.waitUntil(lambda: len(list((tmp_path / "out").rglob("*.dcm"))) > 2, timeout=60_000)
    qtbot.waitUntil(lambda: not reported.reading.jobs, timeout=60_000)
    run = reported.session.active_run
    (path,) = (tmp_path / "out").glob("*_percentiles.dcm")
    reported.report.mapping.add(path)
    qtbot.waitUntil(lambda: reported.session.active_run is not run, timeout=60_000)
    assert np.array_equal(reported.session.active_run.percentiles, run.percentiles)
    assert len(reported.report._delivering.wish().keys) == 1
    (raw,) = (tmp_path / "out").glob("*_heatmap.dcm")
    reported.report.mapping.add(raw)
    qtbot.waitUntil(lambda: reported.message_bar.shown is not None, timeout=60_000)


def test_the_dialog_needs_a_format_and_a_folder(qtbot, tmp_path):
    dialog = ExportDialog(Theme("dark"), "")
    qtbot.addWidget(dialog)
    assert not dialog._go.isEnabled()
    dialog._place.setText(str(tmp_path))
    assert dialog._go.isEnabled()
    assert dialog.deidentify
    assert dialog.folder == tmp_path
    for box in dialog._boxes.values():
        box.setChecked(False)
    assert not dialog._go.isEnabled()
    dialog._boxes["csv"].click()
    assert dialog.formats == ["csv"]
    assert dialog._go.isEnabled()
    assert not dialog._hide.isEnabled()
    assert dialog.archive == ""


def test_a_saved_archive_can_be_sent_to(qtbot, home):
    nodes.save(nodes.make(name="near"))
    dialog = ExportDialog(Theme("dark"), "out")
    assert dialog.archive == ""
    dialog._archive.setCurrentIndex(1)
    assert dialog.archive == "near"
