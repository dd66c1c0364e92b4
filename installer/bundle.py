"""`bundle`: a folder with the whole program, for machines without Python; on Debian also a package of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from installer.environment import REPOSITORY, prepare, python
from installer.system import LIBRARIES, need, need_libraries, need_xvfb
from installer.test import virtual_display
from installer.trouble import Trouble, say

SPEC = REPOSITORY / "installer" / "brainviewer.spec"
DIST = REPOSITORY / "dist"
PROGRAM = DIST / "brainviewer"
EXECUTABLE = PROGRAM / ("brainviewer.exe" if sys.platform == "win32" else "brainviewer")
MAINTAINER = "BrainViewer developers <brainviewer@localhost>"
START_S = 60
SYSTEM_PATH = "/usr/bin:/bin"


def start(rest: list[str], torch_index: str) -> int:
    """Carry out `bundle`: build, try what was built, pack it where dpkg-deb is at hand."""
    if rest:
        raise Trouble(f"`bundle` takes no further arguments, not {' '.join(rest)}.")
    need_libraries()
    need_xvfb()
    if sys.platform.startswith("linux") and shutil.which("xwininfo") is None:
        need(["x11-utils"], "the program that looks for the window")
    prepare(["demo", "bundle"], torch_index)
    build()
    say(f"Built {PROGRAM}, {size_mb(PROGRAM)} MB")
    for told in smoke(EXECUTABLE):
        say(told)
    if shutil.which("dpkg-deb"):
        package = debian()
        say(f"Packed {package}, {package.stat().st_size >> 20} MB. Install it with: sudo apt install {package}")
    return 0


def build() -> None:
    """Let PyInstaller collect the program into dist/brainviewer."""
    say("Collecting the program and its packages; this takes some minutes")
    work = REPOSITORY / "build" / "bundle"
    command = [python(), "-m", "PyInstaller", "--noconfirm", "--distpath", str(DIST), "--workpath", str(work)]
    done = subprocess.run([*command, str(SPEC)], cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode or not EXECUTABLE.exists():
        raise Trouble(f"PyInstaller could not build the program.\n{done.stderr[-2000:]}")


def size_mb(folder: Path) -> int:
    """Size of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) >> 20


def smoke(executable: Path) -> list[str]:
    """Try a built program with nothing of Python around it; returns what was seen, raises Trouble where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        environment = {"HOME": folder, "BRAINVIEWER_HOME": str(home / "data"), "PATH": SYSTEM_PATH, "LANG": "C.UTF-8"}
        if sys.platform == "win32":
            environment |= {"SYSTEMROOT": os.environ["SYSTEMROOT"], "TEMP": folder}
        said = [f"It starts: {_run(executable, environment, '--version')}"]
        facts = json.loads(_run(executable, environment, "demo", "--offscreen", str(home / "out"), "--json"))
        if not facts["runs"] or not all(Path(run["picture"]).stat().st_size for run in facts["runs"]):
            raise Trouble("The program that was built shows no heatmap on the sample study.")
        said.append(f"The demo ran {len(facts['runs'])} engines off-screen.")
        if sys.platform.startswith("linux"):
            with virtual_display() as display:
                environment["DISPLAY"] = display
                said.append(f"Its window was there after {_window_seconds(executable, environment):.1f} s.")
    return said


def _run(executable: Path, environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run([executable, *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise Trouble(f"The program that was built fails at `{' '.join(arguments)}`.\n{done.stderr[-2000:]}")
    return done.stdout.strip()


def _window_seconds(executable: Path, environment: dict[str, str]) -> float:
    """Seconds until a window of the program is on the display (asked of the X server)."""
    began = time.monotonic()
    with subprocess.Popen([executable], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            while time.monotonic() - began < START_S:
                if process.poll() is not None:
                    said = process.stderr.read().decode(errors="replace") if process.stderr else ""
                    raise Trouble(f"The window of the program that was built did not open.\n{said[-2000:]}")
                tree = subprocess.run(
                    ["xwininfo", "-root", "-tree"], env={**os.environ, **environment}, capture_output=True, text=True
                )
                if '"BrainViewer"' in tree.stdout:
                    return time.monotonic() - began
                time.sleep(0.1)
        finally:
            _end(process)
    raise Trouble(f"No window of the program that was built appeared within {START_S} s.")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=START_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Trouble("The window of the program that was built does not close.") from None


def debian() -> Path:
    """A Debian package of dist/brainviewer: /opt/brainviewer, a command, an entry in the menu."""
    version = _run(EXECUTABLE, {"PATH": SYSTEM_PATH, "HOME": str(DIST)}, "--version").split()[-1]
    machine = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    architecture = machine.stdout.strip()
    with tempfile.TemporaryDirectory(dir=DIST) as folder:
        root = Path(folder) / "root"
        (root / "DEBIAN").mkdir(parents=True)
        for place in ("opt", "usr/bin", "usr/share/applications", "usr/share/icons/hicolor/scalable/apps"):
            (root / place).mkdir(parents=True)
        # Hard links: the files are there already, and they are many.
        shutil.copytree(PROGRAM, root / "opt" / "brainviewer", symlinks=True, copy_function=os.link)
        (root / "usr/bin/brainviewer").symlink_to("/opt/brainviewer/brainviewer")
        shutil.copy(
            REPOSITORY / "resources/icons/brain.svg", root / "usr/share/icons/hicolor/scalable/apps/brainviewer.svg"
        )
        (root / "usr/share/applications/brainviewer.desktop").write_text(DESKTOP, encoding="utf-8")
        control = CONTROL.format(
            version=version, architecture=architecture, maintainer=MAINTAINER, size=size_mb(PROGRAM) << 10,
            depends=", ".join(sorted(set(LIBRARIES.values()))),
        )  # fmt: skip
        (root / "DEBIAN" / "control").write_text(control, encoding="utf-8")
        package = DIST / f"brainviewer_{version}_{architecture}.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(root), str(package)],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    return package


DESKTOP = """[Desktop Entry]
Type=Application
Name=BrainViewer
Comment=Shows what in a brain scan does not belong (research use only)
Exec=brainviewer %F
Icon=brainviewer
Terminal=false
Categories=Science;MedicalSoftware;
MimeType=application/dicom;
"""
CONTROL = """Package: brainviewer
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {size}
Depends: {depends}
Section: science
Priority: optional
Description: radiology viewer with anomaly engines, research use only
 Opens DICOM and NIfTI studies, runs anomaly-detection engines and lays their
 calibrated heatmaps over three planes. Not a medical device.
"""
