"""What every test may rely on: its own home folder, the shared scans if at hand, a fitting Qt platform."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import torch_watch

REPOSITORY = Path(__file__).resolve().parents[1]
HAS_DISPLAY = sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY"))

# Read once by Qt, qtpy and pyqtgraph at import: set before any test module is imported.
os.environ.setdefault("QT_API", "pyside6")
os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")
if sys.platform.startswith("linux"):
    # VTK's Qt widget aborts on the offscreen platform, plain Qt tests do not need more.
    os.environ.setdefault("QT_QPA_PLATFORM", "xcb" if HAS_DISPLAY else "offscreen")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine cannot run."""
    has_nvidia = shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()
    no_display = pytest.mark.skip(reason="needs a display: set DISPLAY or run `python3 -m installer test`")
    no_gpu = pytest.mark.skip(reason="needs a CUDA device: no NVIDIA driver found")
    for item in items:
        if not HAS_DISPLAY and item.get_closest_marker("display"):
            item.add_marker(no_display)
        if not has_nvidia and item.get_closest_marker("gpu"):
            item.add_marker(no_gpu)


@pytest.fixture(scope="session", autouse=True)
def _no_user_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fixtures wider than one test must not reach the user's folders either."""
    before = os.environ.get("BRAINVIEWER_HOME")
    os.environ["BRAINVIEWER_HOME"] = str(tmp_path_factory.mktemp("session-home"))
    yield
    if before is None:
        del os.environ["BRAINVIEWER_HOME"]
    else:
        os.environ["BRAINVIEWER_HOME"] = before


@pytest.fixture(autouse=True)
def _torch_watch() -> None:
    torch_watch.remember()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that stands for every user folder during one test."""
    folder = tmp_path / "brainviewer-home"
    folder.mkdir()
    monkeypatch.setenv("BRAINVIEWER_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The shared real scans; tests that need them are skipped where they are absent."""
    folder = Path(os.environ.get("BRAINVIEWER_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"needs the shared scans: no folder {folder} (set BRAINVIEWER_DATA)")
    return folder


@pytest.fixture(scope="session")
def sample_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's study, made once for all tests: dicom/ and nifti/ with the true lesion. Do not change it."""
    import brainviewer.demo

    return brainviewer.demo.make(tmp_path_factory.mktemp("sample") / "study").parent
