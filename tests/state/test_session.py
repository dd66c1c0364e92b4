"""The session: studies, the series in view, runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brainviewer.jobs.opening import first_series
from brainviewer.state.run import Run
from brainviewer.state.session import Session
from brainviewer.state.volume_cache import VolumeCache
from brainviewer.study import Series, Study
from engines import AnomalyResult, PercentileScale, Provenance, Volume

IDENTITY = tuple(tuple(float(i == j) for j in range(4)) for i in range(4))


def series(uid, shape=(8, 8, 8), modality="T1", warnings=()):
    return Series(uid, uid, modality, "MR", "dicom", (), shape, IDENTITY, warnings=warnings)


def study(uid, *own):
    return Study(uid, uid, "", Path("/scans"), own)


def volume(uid="", value=0.0, shape=(8, 8, 8)):
    return Volume(np.full(shape, value, np.float32), np.eye(4), uid=uid)


def run(series_uid, model="m"):
    nothing = np.zeros((8, 8, 8), np.float32)
    how = Provenance("fake", "Fake", model, {}, "cpu", "fp32", 1.0, series_uid)
    scale = PercentileScale(np.array([0.0, 1.0]), np.array([0.0, 100.0]))
    result = AnomalyResult(nothing, scale, nothing > 0, 2, nothing[0, 0], nothing[0, 0], 0.0, 0.0, 1.0, how)
    return Run("fake", "Fake", model, series_uid, result, nothing)


@pytest.fixture
def one():
    session = Session()
    own = series("a"), series("b")
    session.add_study(study("1", *own))
    return session, *own


def test_a_series_in_memory_comes_back_at_once(qtbot, one):
    session, a, b = one
    session.choose_series(a)
    assert session.volume is None
    session.put_volume(a, volume("a"))
    assert session.complete
    session.choose_series(b)
    assert session.volume is None
    session.choose_series(a)
    assert session.complete


def test_a_volume_that_arrives_late_does_not_replace_the_one_in_view(qtbot, one):
    session, a, b = one
    session.choose_series(b)
    with qtbot.assertNotEmitted(session.volume_changed):
        session.put_volume(a, volume("a"))
        session.put_partial(a, volume("a"))
    assert session.volume is None


def test_half_a_scan_does_not_stay_when_reading_fails(qtbot, one):
    session, a, _ = one
    session.choose_series(a)
    session.put_partial(a, volume("a"))
    assert session.volume is not None
    assert not session.complete
    with qtbot.waitSignal(session.volume_changed):
        session.drop_partial(a)
    assert session.volume is None


def test_the_completed_partial_volume_is_not_announced_as_another(qtbot, one):
    session, a, _ = one
    session.choose_series(a)
    session.put_partial(a, volume("a"))
    with qtbot.assertNotEmitted(session.volume_changed), qtbot.waitSignal(session.volume_filled):
        session.put_volume(a, volume("a"), same_memory=True)
    assert session.complete


def test_runs_belong_to_their_series(qtbot, one):
    session, a, b = one
    session.choose_series(a)
    first, second, other = run("a"), run("a", "another"), run("b")
    for each in (first, second, other):
        session.add_run(each)
    assert session.runs == (first, second)
    assert session.active_run is second
    session.next_run()
    assert session.active_run is first
    session.choose_series(b)
    assert session.active_run is other
    session.choose_series(a)
    assert session.active_run is first


def test_the_same_models_second_run_takes_the_place_of_its_first(qtbot, one):
    session, a, _ = one
    session.choose_series(a)
    first, second = run("a"), run("a")
    session.add_run(first)
    session.add_run(second)
    assert session.runs == (second,)
    assert session.active_run is second


def test_a_kept_run_is_shown_where_no_other_is_and_never_twice(qtbot, one):
    session, a, b = one
    session.choose_series(a)
    new, kept, older = run("a"), run("a"), run("b")
    session.add_run(new)
    session.restore_run(kept)  # the same model has run again meanwhile
    assert session.runs == (new,)
    session.restore_run(older)
    session.restore_run(older)
    assert session.active_run is new
    assert session.study_runs == (new, older)
    session.choose_series(b)
    assert session.active_run is older


def test_runs_that_go_are_told_so_that_their_files_go_too(qtbot, one):
    session, a, _ = one
    session.choose_series(a)
    gone = []
    session.run_removed.connect(gone.append)
    first, second = run("a"), run("a")
    session.add_run(first)
    session.add_run(second)
    session.remove_run(second.key)
    session.add_run(run("a"))
    session.close_study("1")  # kept runs stay on disk
    assert gone == [first, second]


def test_closing_a_study_takes_its_volumes_and_runs(qtbot, one):
    session, a, _ = one
    session.choose_series(a)
    session.put_volume(a, volume("a"))
    session.add_run(run("a"))
    session.close_study("1")
    assert (session.studies, session.series, session.volume, session.runs) == ((), None, None, ())


def test_stepping_stops_at_the_ends(one):
    session, a, b = one
    session.choose_series(a)
    session.step_series(-1)
    assert session.series is a
    session.step_series(1)
    session.step_series(1)
    assert session.series is b


def test_the_cache_drops_what_was_unused_for_longest():
    cache = VolumeCache(most_bytes=2 * 8**3 * 4)
    for uid in "abc":
        cache.put(uid, volume(uid))
    assert [cache.get(uid) is not None for uid in "abc"] == [False, True, True]
    cache.get("b")
    cache.put("d", volume("d"))
    assert [cache.get(uid) is not None for uid in "bcd"] == [True, False, True]


def test_the_newest_volume_stays_however_large():
    cache = VolumeCache(most_bytes=10)
    cache.put("a", volume("a"))
    assert cache.get("a") is not None


@pytest.mark.parametrize(
    ("candidates", "best"),
    [
        ([series("xray", (64, 64, 1)), series("head")], "head"),
        ([series("scout", (256, 256, 3)), series("head")], "head"),
        ([series("mask", modality=""), series("t2", modality="T2")], "t2"),
        ([series("gap", warnings=("A slice is missing.",)), series("sound")], "sound"),
        ([series("first"), series("second")], "first"),
        ([series("xray", (64, 64, 1))], "xray"),
    ],
)
def test_the_first_look_goes_to_the_most_sensible_series(candidates, best):
    assert first_series([study("1", *candidates)]).uid == best


def test_no_series_no_look():
    assert first_series([study("1")]) is None
