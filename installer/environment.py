"""The virtual environment in .venv: made once, brought up to date when the pins change, left alone otherwise."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterable
from pathlib import Path

from installer import packages
from installer.system import has_nvidia_driver, need
from installer.trouble import Trouble, say

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = REPOSITORY / ".venv"
CONSTRAINTS = REPOSITORY / "installer" / "constraints.txt"
STAMP_NAME = "brainviewer-setup.json"


def python(folder: Path = FOLDER) -> str:
    """The environment's interpreter."""
    return str(folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))


def requirements(extras: Iterable[str], pyproject: Path = REPOSITORY / "pyproject.toml") -> list[str]:
    """The pinned packages of the project and of the named extras, torch first."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    return sorted(set(wanted), key=lambda requirement: (not requirement.startswith("torch=="), requirement.lower()))


def digest(torch: str, torch_index: str) -> str:
    """Changes when anything that decides about the installed packages changes."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    # The settings of linters and tests in the same file are no reason to install again.
    packaging = [settings["project"], settings["build-system"], settings["tool"]["setuptools"]]
    parts = [json.dumps(packaging, sort_keys=True).encode(), CONSTRAINTS.read_bytes()]
    parts += [sys.version.encode(), str(REPOSITORY).encode(), torch.encode(), torch_index.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def is_current(stamp: Path, wanted: str, extras: Iterable[str]) -> bool:
    """True when the environment was completed for the same pins and at least these extras."""
    try:
        known = json.loads(stamp.read_text(encoding="utf-8"))
        return bool(known["digest"] == wanted and set(extras) <= set(known["extras"]))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def create(folder: Path = FOLDER) -> None:
    """Make the virtual environment, with pip in it, if there is none that works."""
    if works(folder):
        return
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        # Debian keeps these in a package of their own.
        need([f"python{sys.version_info.major}.{sys.version_info.minor}-venv"], "Python's venv module")
    say(f"Making the Python environment in {folder}")
    try:
        venv.create(folder, with_pip=True, clear=folder.exists(), symlinks=sys.platform != "win32")
    except (OSError, subprocess.CalledProcessError) as error:
        raise Trouble(
            f"The Python environment could not be made in {folder} ({error}). "
            "Check that you may write there and that the disk has 6 GB free."
        ) from error


def works(folder: Path) -> bool:
    """True when the environment's own Python starts, is this version, and has pip."""
    code = "import sys, pip; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python(folder), "-c", code], capture_output=True, text=True)
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.split() == [str(part) for part in sys.version_info[:2]]


def prepare(extras: list[str], torch_index: str = "") -> None:
    """Bring .venv to the pinned state. Does nothing, within milliseconds, when it is there already."""
    cuda = has_nvidia_driver()
    wanted = digest("cuda" if cuda else "cpu", torch_index)
    stamp = FOLDER / STAMP_NAME
    if is_current(stamp, wanted, extras) and Path(python()).exists():
        return
    create()
    stamp.unlink(missing_ok=True)
    packages.install(python(), requirements(extras), CONSTRAINTS, torch_index=torch_index, cuda=cuda)
    packages.install_project(python(), REPOSITORY)
    if cuda:
        packages.check_cuda(python())
    stamp.write_text(json.dumps({"digest": wanted, "extras": sorted(extras)}), encoding="utf-8")
    say("Set-up is complete.")
