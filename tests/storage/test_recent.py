"""The list of recent studies."""

from __future__ import annotations

import stat

from brainviewer.storage import recent
from brainviewer.storage.files import write_whole


def test_newest_first_and_each_study_once(tmp_path):
    for name in ("a", "b", "a"):
        (tmp_path / name).mkdir(exist_ok=True)
        recent.add(tmp_path / name, f"Study {name}", "MR", 2)
    studies = recent.load()
    assert [study.title for study in studies] == ["Study a", "Study b"]
    assert studies[0].modality == "MR"
    assert studies[0].series == 2
    assert studies[0].opened >= studies[1].opened


def test_moved_files_are_marked_missing(tmp_path):
    (tmp_path / "a.nii").write_text("x")
    recent.add(tmp_path / "a.nii", "A")
    assert not recent.load()[0].missing
    (tmp_path / "a.nii").unlink()
    assert recent.load()[0].missing


def test_the_list_has_an_end(tmp_path):
    for number in range(recent.MOST + 5):
        recent.add(tmp_path / str(number), str(number))
    assert len(recent.load()) == recent.MOST
    assert recent.load()[0].title == str(recent.MOST + 4)


def test_remove_and_clear(tmp_path):
    recent.add(tmp_path / "a", "A")
    recent.add(tmp_path / "b", "B")
    recent.remove(tmp_path / "a")
    assert [study.title for study in recent.load()] == ["B"]
    recent.clear()
    assert recent.load() == ()


def test_a_damaged_list_is_empty_and_kept_aside():
    write_whole(recent.file(), b"{nonsense")
    assert recent.load() == ()
    assert recent.file().with_name("recent.damaged.json").exists()


def test_only_the_owner_may_read_titles(tmp_path):
    recent.add(tmp_path / "a", "A")
    assert stat.S_IMODE(recent.file().stat().st_mode) & 0o077 == 0
