"""System libraries that no Python package brings: OpenGL, EGL, xcb, fonts. Linux only; others carry their own."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from installer.trouble import Trouble, say

# Library -> Debian package: what Qt's xcb platform plugin, Qt Gui and VTK load (found with ldd).
LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libX11.so.6": "libx11-6",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libXcursor.so.1": "libxcursor1",
    "libXrender.so.1": "libxrender1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
# File -> Debian package: what checks DICOM objects, plays the hospital's archive and draws PDF pages in the tests.
TEST_PROGRAMS = {
    "dciodvfy": "dicom3tools",
    "Orthanc": "orthanc",
    "/usr/share/orthanc/plugins/libOrthancDicomWeb.so": "orthanc-dicomweb",
    "pdftoppm": "poppler-utils",
}
FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts")
FONT_PACKAGE = "fonts-dejavu-core"


def loads(library: str) -> bool:
    """True when the dynamic linker finds the library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def has_fonts() -> bool:
    """True when there is at least one outline font: Qt brings none and would draw empty boxes."""
    return any(next(Path(folder).rglob("*.[ot]tf"), None) for folder in FONT_FOLDERS)


def missing_packages(finds: Callable[[str], bool] = loads) -> list[str]:
    """Debian packages of the libraries that are absent."""
    packages = [package for library, package in LIBRARIES.items() if not finds(library)]
    if not has_fonts():
        packages.append(FONT_PACKAGE)
    return sorted(set(packages))


def install_command(packages: Iterable[str]) -> str:
    """The command a user can paste."""
    return "sudo apt-get update && sudo apt-get install -y --no-install-recommends " + " ".join(packages)


def can_install() -> bool:
    """True on Debian and its relatives when we are root."""
    return shutil.which("apt-get") is not None and os.geteuid() == 0


def need(packages: list[str], purpose: str) -> None:
    """Install Debian packages, or stop with the exact command that does."""
    if not packages:
        return
    if not can_install():
        raise Trouble(_how_to(packages, purpose))
    say(f"Installing {purpose}: {' '.join(packages)}")
    # RUNLEVEL: without systemd, no service (Orthanc) is started by installing it.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(["apt-get", "-qq", *command], env=environment, capture_output=True, text=True)
        if done.returncode and command[0] == "install":
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise Trouble(f"apt-get could not install {purpose} ({reason}). Try: {install_command(packages)}")


def _how_to(packages: list[str], purpose: str) -> str:
    if shutil.which("apt-get"):
        return f"Missing: {purpose}. Install with:\n  {install_command(packages)}\nThen run the same command again."
    names = " ".join(library for library, package in LIBRARIES.items() if package in packages) or " ".join(packages)
    return f"Missing: {purpose}. Install the packages of your distribution that hold: {names}"


def need_libraries() -> None:
    """See to the libraries the window needs."""
    if sys.platform.startswith("linux"):
        need(missing_packages(), "system libraries for graphics")


def need_xvfb() -> None:
    """See to the display without a screen that the tests draw on."""
    if sys.platform.startswith("linux") and shutil.which("Xvfb") is None:
        need(["xvfb"], "the virtual display for the tests")


def need_test_programs(finds: Callable[[str], bool] = lambda name: shutil.which(name) is not None) -> None:
    """See to the programs that prove the exports; without them those tests are skipped and say so."""
    if not sys.platform.startswith("linux"):
        return
    packages = [package for name, package in TEST_PROGRAMS.items() if not (finds(name) or Path(name).exists())]
    if not can_install():
        if packages:
            say(f"Some tests of the exports will be skipped. They need: {install_command(packages)}")
        return
    try:
        need(packages, "programs that check DICOM and PDF files")
        if "orthanc" in packages and shutil.which("systemctl"):
            # The tests start an archive of their own; the package's service is not wanted.
            subprocess.run(["systemctl", "disable", "--now", "orthanc"], capture_output=True)
    except Trouble as trouble:
        say(f"Some tests of the exports will be skipped. {trouble}")


def has_display() -> bool:
    """True when a window can be shown."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def has_nvidia_driver() -> bool:
    """True when an NVIDIA driver is loaded, so that a CUDA build of torch is worth its size."""
    if Path("/proc/driver/nvidia/version").exists():
        return True
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    return subprocess.run([tool, "-L"], capture_output=True).returncode == 0
