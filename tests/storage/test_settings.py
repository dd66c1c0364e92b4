"""Settings survive a restart, a crash and a damaged file."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError

from brainviewer.storage import folders, settings
from brainviewer.storage.files import write_whole
from engines import KnownError


def test_what_was_saved_is_loaded(home):
    settings.save(settings.Settings(theme="dark", opacity=0.3, model_of={"sagan": "/m"}))
    loaded, message = settings.load()
    assert (loaded.theme, loaded.opacity, loaded.model_of, message) == ("dark", 0.3, {"sagan": "/m"}, "")
    assert settings.path().is_relative_to(home)


def test_without_a_file_the_defaults_hold():
    assert settings.load() == (settings.Settings(), "")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"opacity": 7}', b'{"version": 9}', b"\xff\x00" * 100])
def test_a_damaged_file_gives_defaults_a_message_and_is_kept(content):
    write_whole(settings.path(), content)
    loaded, message = settings.load()
    assert loaded == settings.Settings()
    assert "damaged" in message
    assert settings.path().with_name("settings.damaged.json").read_bytes() == content
    assert settings.load()[1] == ""


def test_names_from_a_later_version_are_ignored():
    write_whole(settings.path(), b'{"theme": "light", "hologram": true}')
    assert settings.load()[0].theme == "light"


def test_a_wrong_value_is_refused_before_it_is_stored():
    with pytest.raises(ValidationError):
        settings.Settings().opacity = 3


def test_an_interrupted_write_leaves_the_old_file(monkeypatch):
    settings.save(settings.Settings(theme="dark"))

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KnownError, match="No space left"):
        settings.save(settings.Settings(theme="light"))
    assert settings.load()[0].theme == "dark"
    assert [path.name for path in settings.path().parent.iterdir()] == ["settings.json"]


def test_every_folder_follows_the_home_variable(home):
    for folder in (folders.settings_dir(), folders.data_dir(), folders.cache_dir(), folders.log_dir()):
        assert folder.is_relative_to(home)


def test_without_the_variable_the_platforms_folders_are_used(monkeypatch):
    monkeypatch.delenv("BRAINVIEWER_HOME")
    assert "brainviewer" in str(folders.settings_dir())


def test_a_folder_that_cannot_be_made_is_named(home):
    (home / "settings").write_text("a file in the way")
    with pytest.raises(KnownError, match="settings"):
        settings.save(settings.Settings())
