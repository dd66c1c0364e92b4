"""The list of studies: what it tells before a series is opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brainviewer.jobs.detecting import Detecting
from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.keeping import Keeping
from brainviewer.jobs.opening import Opening
from brainviewer.panels.library import NOTHING_FITS, WITH_RUNS, LibraryList
from brainviewer.panels.studies import StudiesPanel, facts_of
from brainviewer.panels.theme import Theme
from brainviewer.state.messages import Messages
from brainviewer.state.session import Session
from brainviewer.storage import database, thumbnails
from brainviewer.storage.library import Library
from brainviewer.study import Series, Study

AFFINE = ((0.5, 0, 0, 0), (0, 0.5, 0, 0), (0, 0, 4.0, 0), (0, 0, 0, 1))


def series(uid, title, **more):
    given = {"modality": "T1", "kind": "MR", "shape": (256, 256, 30), **more}
    return Series(uid, title, format="dicom", files=(), affine=AFFINE, **given)


@pytest.fixture
def session(qapp):
    return Session()


@pytest.fixture
def host():
    host = WorkerHost("reading")
    yield host
    host.shutdown()


@pytest.fixture
def keeping(session, host):
    # Without its signals the flow reads nothing: only the lists are looked at here.
    messages = Messages()
    opening = Opening(session, messages, host)
    session.series_changed.disconnect(opening._follow_series)
    host.changed.disconnect(opening._next_thumbnail)
    keeping = Keeping(
        session, messages, Library(database.in_memory()), opening, Detecting(session, messages, host), host, host
    )
    keeping.opening = opening
    return keeping


@pytest.fixture
def shelf(qtbot, keeping, host):
    return LibraryList(keeping, host, Theme("dark"))


@pytest.fixture
def panel(qtbot, session, keeping, shelf):
    panel = StudiesPanel(session, keeping.opening, shelf, Theme("dark"))
    qtbot.addWidget(panel)
    panel.resize(280, 600)
    panel.show()
    return panel


def remember(keeping, path, title, *modalities, uid=None, thumbnail=""):
    series_of = tuple(series(f"{title}{n}", "axial", modality=one) for n, one in enumerate(modalities or ("MR",)))
    keeping.library.remember(Study(uid or title, title, "", path, series_of), thumbnail)
    keeping.changed.emit()


def titles(cards):
    return [card.title for card in cards.cards if not card.heading]


def test_dimensions_and_warnings_are_on_the_card(session, panel):
    bad = series("b", "FLAIR", warnings=("A slice is missing.", "The gantry was tilted."))
    session.add_study(Study("1", "Head", "2026-11-21", Path("/scans"), (series("a", "T1"), bad)))
    first, second = [card for card in panel._open.cards if not card.heading]
    assert first.facts == ("T1   256 × 256 × 30", "0.5 × 0.5 × 4 mm")
    assert first.warning == ""
    assert second.warning == "2 warnings"
    assert "The gantry was tilted." in second.tip
    session.choose_series(bad)
    assert "A slice is missing." in panel._warnings.text()
    assert panel._warning_part.isVisible()


def test_facts_of_pictures_and_uncalibrated_series():
    assert facts_of(series("x", "Chest", modality="CXR", shape=(1024, 800, 1))) == ("CXR   1024 × 800 pixels",)
    assert facts_of(series("x", "Odd", calibrated=False))[1] == "voxel size unknown"


def test_the_search_finds_series_and_studies_of_the_library(session, panel, keeping, shelf, tmp_path):
    remember(keeping, tmp_path, "Knee of last week")
    session.add_study(Study("1", "Head", "", Path("/scans"), (series("a", "T1 axial"), series("b", "FLAIR sagittal"))))
    panel._search.setText("sagittal")
    assert titles(panel._open) == ["FLAIR sagittal"]
    panel._search.setText("KNEE")
    assert titles(panel._open) == []
    assert titles(shelf) == ["Knee of last week"]
    panel._search.setText("elbow")
    assert shelf._nothing.text() == NOTHING_FITS
    assert shelf.isVisible()
    panel._search.clear()
    assert len(titles(panel._open)) == 2


def test_a_study_is_listed_once(session, panel, keeping, shelf, tmp_path):
    remember(keeping, tmp_path, "Head", uid="1")
    assert titles(shelf) == ["Head"]
    session.add_study(Study("1", "Head", "", tmp_path, (series("a", "T1 axial"),)))
    assert titles(shelf) == []
    assert not shelf.isVisible()
    session.close_study("1")
    assert titles(shelf) == ["Head"]


def test_filters_by_tag_and_runs_leave_the_rest_out(panel, keeping, shelf, tmp_path):
    remember(keeping, tmp_path, "One", "T1", "FLAIR")
    remember(keeping, tmp_path, "Two")
    keeping.tag("One", ("teaching",))
    assert shelf.cards[1].facts[0] == "T1, FLAIR, 2 series"
    assert shelf.cards[1].facts[-1] == "#teaching"
    shelf._filter.setCurrentText("Tag: teaching")
    shelf.refresh()
    assert titles(shelf) == ["One"]
    shelf._filter.setCurrentText(WITH_RUNS)
    shelf.refresh()
    assert titles(shelf) == []
    assert shelf.isVisible()
    keeping.forget("One")
    shelf._filter.setCurrentIndex(0)
    shelf.refresh()
    assert titles(shelf) == ["Two"]


def test_a_click_brings_a_series_into_view_and_a_refresh_does_not(session, panel):
    one, two = series("a", "T1"), series("b", "T2")
    session.add_study(Study("1", "Head", "", Path("/scans"), (one, two)))
    session.choose_series(one)
    panel._open.setCurrentIndex(panel._open.model().index(2, 0))
    assert session.series is two
    panel.refresh()
    assert session.series is two


def test_studies_that_are_gone_say_so(qtbot, panel, keeping, shelf, tmp_path):
    remember(keeping, tmp_path / "gone.nii", "Gone", "T1")
    qtbot.waitUntil(lambda: shelf.cards[0].warning == "not found", timeout=20_000)
    assert shelf.cards[0].dimmed


def test_studies_are_recognised_by_their_picture(panel, keeping, shelf, tmp_path):
    picture = np.arange(96 * 80, dtype=np.uint8).reshape(96, 80)
    name = thumbnails.save("1.2.3", picture)
    remember(keeping, tmp_path, "Head", "T1", thumbnail=name)
    assert shelf.cards[0].picture.size().height() == 96
    assert np.array_equal(thumbnails.load(name), picture)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "missing.npy"])
def test_a_name_that_is_no_thumbnail_gives_none(name):
    assert thumbnails.load(name) is None
