"""Archives in the window, with a real one; and the audit trail on screen."""

from __future__ import annotations

import pytest

from brainviewer.panels.archive_form import ArchiveForm
from brainviewer.panels.archives import NONE_SAVED, ArchivesDialog
from brainviewer.panels.audit_trail import AuditTrail
from brainviewer.storage import audit, nodes
from tests.pacs import orthanc
from tests.reading import phantoms

pytestmark = pytest.mark.display


def test_a_new_archive_is_asked_searched_and_fetched_from(qtbot, viewer, tmp_path):
    with orthanc.running(tmp_path / "orthanc") as archive:
        dialog = ArchivesDialog(viewer.archives, viewer.window)
        assert dialog.said.text() == NONE_SAVED
        nodes.save(archive.node(name="near"))
        dialog.reload("near")
        dialog.test()
        qtbot.waitUntil(lambda: "answers" in dialog.said.text(), timeout=60_000)
        folder = tmp_path / "scan"
        phantoms.write_series(folder, *phantoms.phantom())
        from brainviewer import pacs

        pacs.connect(nodes.find("near")).send(sorted(folder.iterdir()), lambda *_: None)
        dialog.search()
        qtbot.waitUntil(lambda: dialog.table.rowCount() == 1, timeout=60_000)
        dialog.table.selectRow(0)
        dialog.fetch()
        qtbot.waitUntil(lambda: viewer.session.complete, timeout=60_000)
        (entry,) = viewer.keeping.library.studies()
        assert "fetched" in str(entry.path)
        assert "fetch" in [one.what for one in audit.entries()]
        dialog.fields["patient_id"].setText("nobody")
        dialog.search()
        qtbot.waitUntil(lambda: dialog.said.text() == "No study fits.", timeout=60_000)


def test_an_archive_that_does_not_answer_is_one_sentence(qtbot, viewer):
    nodes.save(nodes.make(name="far", port=orthanc.free_port(), timeout_s=2))
    dialog = ArchivesDialog(viewer.archives, viewer.window)
    with qtbot.waitSignal(viewer.archives.answered, timeout=60_000) as told:
        dialog.test()
    assert told.args[0]
    assert "Traceback" not in told.args[0]


def test_the_form_saves_an_archive_or_says_what_is_wrong(qtbot, viewer):
    form = ArchiveForm(viewer.window)
    form.lines["name"].setText("home")
    form.lines["port"].setText("many")
    form.save()
    assert "port" in form.said.text()
    assert nodes.load() == ()
    form.lines["port"].setText("11112")
    form.save()
    assert nodes.find("home").port == 11112
    web = ArchiveForm(viewer.window)
    web.kind.setCurrentIndex(1)
    web.lines["name"].setText("cloud")
    web.lines["url"].setText("https://archive.example/dicom-web")
    web.save()
    assert nodes.find("cloud").kind == "web"


def test_the_audit_trail_is_shown_checked_and_saved(qtbot, viewer, open_head, tmp_path):
    open_head(viewer)
    qtbot.waitUntil(lambda: len(audit.entries()) == 1, timeout=10_000)
    trail = AuditTrail(viewer.reading, viewer.window)
    qtbot.waitUntil(lambda: "is whole" in trail.said.text(), timeout=20_000)
    assert trail.table.item(0, 3).text() == "open"
    trail.save(tmp_path / "audit.csv")
    assert (tmp_path / "audit.csv").read_text().startswith("number,time,who")
    audit.head_path().write_text("9 ab")
    other = AuditTrail(viewer.reading, viewer.window)
    qtbot.waitUntil(lambda: "not whole" in other.said.text(), timeout=20_000)
