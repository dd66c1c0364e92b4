"""The virtual environment: pins, stamp, and a real one made from nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from installer import environment


def test_torch_comes_first_because_its_build_is_chosen() -> None:
    assert environment.requirements(["demo", "test"])[0].startswith("torch==")


def test_every_package_is_pinned() -> None:
    assert all("==" in requirement for requirement in environment.requirements(["demo", "test"]))


def test_extras_are_left_out_unless_asked_for() -> None:
    names = {requirement.split("==")[0] for requirement in environment.requirements([])}
    assert "pydicom" in names
    assert "pytest" not in names


def test_constraints_hold_only_what_pyproject_does_not_pin() -> None:
    lines = [line for line in environment.CONSTRAINTS.read_text().splitlines() if line and not line.startswith("#")]
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    direct = {line.split("==")[0].lower().replace("_", "-") for line in environment.requirements(["demo", "test"])}
    assert not pinned & direct
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    ("stored", "current"),
    [
        ({"digest": "a", "extras": ["demo"]}, True),
        ({"digest": "a", "extras": ["demo", "test"]}, True),
        ({"digest": "a", "extras": []}, False),
        ({"digest": "b", "extras": ["demo"]}, False),
        ({"digest": "a"}, False),
        ([], False),
    ],
)
def test_stamp_is_current_for_the_same_pins_and_at_least_the_extras(
    tmp_path: Path, stored: object, current: bool
) -> None:
    stamp = tmp_path / "stamp.json"
    stamp.write_text(json.dumps(stored))
    assert environment.is_current(stamp, "a", ["demo"]) is current


@pytest.mark.parametrize("content", [None, "", "{", "\0"])
def test_missing_or_broken_stamp_is_not_current(tmp_path: Path, content: str | None) -> None:
    stamp = tmp_path / "stamp.json"
    if content is not None:
        stamp.write_text(content)
    assert not environment.is_current(stamp, "a", [])


def test_digest_changes_with_the_build_of_torch_and_its_index() -> None:
    digests = {environment.digest(*choice) for choice in (("cpu", ""), ("cuda", ""), ("cpu", "file:///mirror"))}
    assert len(digests) == 3


def test_a_real_environment_is_made_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "venv"
    environment.create(folder)
    assert environment.works(folder)
    marker = folder / "marker"
    marker.touch()
    environment.create(folder)
    assert marker.exists()


def test_an_environment_without_a_working_python_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "venv"
    interpreter = Path(environment.python(folder))
    interpreter.parent.mkdir(parents=True)
    interpreter.write_text("not a program")
    environment.create(folder)
    done = subprocess.run([environment.python(folder), "-c", "print(6*7)"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "42"


def test_interpreter_lies_where_the_platform_puts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert environment.python(tmp_path).endswith("Scripts/python.exe")
    monkeypatch.setattr(sys, "platform", "linux")
    assert environment.python(tmp_path).endswith("bin/python")
