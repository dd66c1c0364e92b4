"""Corrections on disk: nothing is lost, whatever happens to the program, the disk or the file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from brainviewer.storage import corrections, folders
from brainviewer.storage.correction_journal import Journal
from brainviewer.storage.correction_records import Event, Kind, decode, encode, records
from brainviewer.storage.corrections import JOURNAL, About
from brainviewer.study.correction import Correction
from engines import KnownError
from tests.storage.crash_corrections import EYE, SHAPE, automatic, picture, step

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def about(home: Path) -> About:
    made = About("1.2.3", "1.2", "Dr Reader", SHAPE, EYE, 2, run="ab", engine="sagan", percentile=99.0)
    corrections.create(made, automatic())
    return made


def corrected(about: About, steps: int) -> tuple[Journal, Correction]:
    correction = Correction(automatic(), 2)
    journal = Journal(corrections.folder(about) / JOURNAL)
    for number in range(steps):
        event = step(correction, number)
        if event is not None:
            journal.add(event)
    return journal, correction


def test_a_closed_correction_comes_back_with_every_step(about: About) -> None:
    journal, correction = corrected(about, 30)
    journal.close()
    loaded = corrections.load(corrections.folder(about))
    assert picture(loaded.correction) == picture(correction)
    assert loaded.about == about
    assert loaded.interrupted is None
    assert not loaded.lost
    while correction.undo():
        assert loaded.correction.undo() is not None
    assert picture(loaded.correction) == picture(correction)


def test_one_that_was_not_closed_says_when_it_ended(about: About) -> None:
    journal, correction = corrected(about, 8)
    loaded = corrections.load(corrections.folder(about))
    assert loaded.interrupted == pytest.approx(correction.edits[-1].at, abs=60)
    assert picture(loaded.correction) == picture(correction)
    journal.close()


def test_only_corrections_that_nobody_closed_or_has_open_were_interrupted(about: About) -> None:
    journal, correction = corrected(about, 8)
    assert corrections.interrupted() == ()  # still open here
    os.close(journal._file)
    journal._file = None
    ((found, at),) = corrections.interrupted()
    assert found == about
    assert at == max(edit.at for edit in (*correction.edits, *correction.undone))
    Journal(corrections.folder(about) / JOURNAL, corrections.load(corrections.folder(about)).place).close()
    assert corrections.interrupted() == ()


def test_it_can_be_gone_on_with(about: About) -> None:
    journal, correction = corrected(about, 10)
    journal.close()
    at = corrections.folder(about)
    journal = Journal(at / JOURNAL, corrections.load(at).place)
    for number in range(10, 20):
        event = step(correction, number)
        if event is not None:
            journal.add(event)
    journal.close()
    assert picture(corrections.load(at).correction) == picture(correction)


@pytest.mark.parametrize("event", [Event(Kind.UNDO), Event(Kind.VERSION, text="Before lunch", at=3.5)])
def test_records_without_an_edit_survive(event: Event) -> None:
    assert decode(encode(event)) == event


def test_a_journal_cut_anywhere_gives_the_steps_before_the_cut(about: About) -> None:
    journal, _ = corrected(about, 6)
    journal.close()
    at = corrections.folder(about)
    data = (at / JOURNAL).read_bytes()
    states = set()
    known = Correction(automatic(), 2)
    pictures = [picture(known)]
    for number in range(6):
        if step(known, number) is not None:
            pictures.append(picture(known))
    ends = {place.offset for _, place in records(data)}
    for length in sorted({*range(0, len(data), max(1, len(data) // 100)), *ends}):
        (at / JOURNAL).write_bytes(data[:length])
        found = picture(corrections.load(at).correction)
        assert found in pictures
        states.add(pictures.index(found))
    assert states == set(range(len(pictures)))


def test_no_flipped_bit_goes_unnoticed(about: About) -> None:
    journal, _ = corrected(about, 5)
    journal.close()
    at = corrections.folder(about)
    data = bytearray((at / JOURNAL).read_bytes())
    known = Correction(automatic(), 2)
    pictures = [picture(known)] + [picture(known) for number in range(5) if step(known, number)]
    for place in range(0, len(data), max(1, len(data) // 100)):
        data[place] ^= 1 << (place % 8)
        (at / JOURNAL).write_bytes(data)
        assert picture(corrections.load(at).correction) in pictures
        data[place] ^= 1 << (place % 8)


def test_behind_a_damaged_place_the_last_version_goes_on(about: About) -> None:
    journal, correction = corrected(about, 10)
    at = corrections.folder(about)
    corrections.keep_version(at, correction.mask, correction.states, journal.place)
    journal.add(Event(Kind.EDIT, _applied(correction, correction.reject(3) or correction.reopen(3))))
    journal.close()
    data = bytearray((at / JOURNAL).read_bytes())
    data[60] ^= 255
    (at / JOURNAL).write_bytes(data)
    loaded = corrections.load(at)
    assert loaded.lost
    assert loaded.correction.mask.tobytes() == correction.mask.tobytes()
    assert loaded.correction.states.tobytes() == correction.states.tobytes()
    journal = Journal(at / JOURNAL, loaded.place)
    journal.add(Event(Kind.EDIT, _applied(loaded.correction, loaded.correction.reject(5))))
    journal.close()
    assert not corrections.load(at).correction.mask[:, :, 5].any()


def _applied(correction, edit):
    correction.apply(edit)
    return edit


def test_a_damaged_part_is_put_aside_before_it_is_written_over(about: About) -> None:
    journal, _ = corrected(about, 10)
    journal.close()
    at = corrections.folder(about)
    data = bytearray((at / JOURNAL).read_bytes())
    data[60] ^= 255
    (at / JOURNAL).write_bytes(data)
    Journal(at / JOURNAL, corrections.load(at).place).close()
    (kept,) = at.glob("*.damaged")
    assert data.endswith(kept.read_bytes())


def test_two_windows_cannot_write_the_same_corrections(about: About) -> None:
    journal, _ = corrected(about, 2)
    with pytest.raises(KnownError, match="another window"):
        Journal(corrections.folder(about) / JOURNAL)
    journal.close()


def test_versions_are_listed_and_old_unnamed_ones_go(about: About) -> None:
    journal, correction = corrected(about, 3)
    at = corrections.folder(about)
    corrections.keep_version(at, correction.mask, correction.states, journal.place, "First look")
    for _ in range(corrections.KEPT_VERSIONS + 3):
        corrections.keep_version(at, correction.mask, correction.states, journal.place)
    kept = corrections.versions(at)
    assert len(kept) == corrections.KEPT_VERSIONS + 1
    assert kept[-1].name == "First look"
    mask, states = corrections.read_version(kept[0], SHAPE)
    assert np.array_equal(mask, correction.mask)
    assert np.array_equal(states, correction.states)
    kept[0].path.write_bytes(kept[0].path.read_bytes()[:-1])
    assert len(corrections.versions(at)) == corrections.KEPT_VERSIONS
    journal.close()


def test_a_changed_automatic_mask_is_refused(about: About) -> None:
    path = corrections.folder(about) / corrections.AUTOMATIC
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(KnownError, match="damaged"):
        corrections.load(corrections.folder(about))


def test_corrections_are_found_by_series_and_no_name_stands_in_a_path(about: About) -> None:
    other = About("9.9", "9", "Dr Reader", SHAPE, EYE, 2)
    corrections.create(other, automatic())
    assert corrections.of_series("1.2.3") == (about,)
    assert set(corrections.everything()) == {about, other}
    for path in (folders.data_dir() / "corrections").rglob("*"):
        assert "1.2.3" not in path.as_posix()
        assert "Reader" not in path.as_posix()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a file size limit")
def test_on_a_full_disk_steps_wait_in_memory_and_are_saved_when_there_is_room_again(about: About) -> None:
    import resource
    import signal

    journal, correction = corrected(about, 5)
    at = corrections.folder(about)
    before = picture(correction)
    size = (at / JOURNAL).stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    waiting = 0
    try:
        # Like a full disk: a record may be written in part.
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))
        for number in range(5, 10):
            event = step(correction, number)
            if event is not None:
                waiting += 1
                with pytest.raises(KnownError, match="cannot be saved"):
                    journal.add(event)
        assert journal.waiting == waiting > 0
        assert picture(corrections.load(at).correction) == before
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    journal.catch_up()
    assert journal.waiting == 0
    assert picture(corrections.load(at).correction) == picture(correction)
    journal.close()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_told(about: About) -> None:
    at = corrections.folder(about)
    at.chmod(0o500)
    try:
        with pytest.raises(KnownError, match="cannot be saved"):
            Journal(at / JOURNAL)
    finally:
        at.chmod(0o700)


def test_a_folder_that_cannot_be_made_is_told(home: Path) -> None:
    folders.make(folders.data_dir())
    (folders.data_dir() / "corrections").write_text("in the way")
    with pytest.raises(KnownError):
        corrections.create(About("1", "1", "R", SHAPE, EYE, 2), automatic())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_random_moments_it_loses_at_most_a_stroke_and_damages_nothing() -> None:
    """The same with 200 moments: python -m tests.storage.crash_corrections --moments 200."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage.crash_corrections", "--moments", "12", "--seed", "1"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "moments 12" in done.stdout
