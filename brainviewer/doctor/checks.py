"""One function a question; each answers with findings and, where something is wrong, the remedy."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engines import KnownError

INSTALL_AGAIN = "Run `python3 -m installer run` in the BrainViewer folder."
PROBE_SECONDS = 90
SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "swrast", "swiftshader", "osmesa", "gdi generic", "warp")
ESSENTIAL_CODECS = ("RLE", "JPEG baseline", "JPEG-LS", "JPEG 2000")
CODEC_REMEDY = {"JPEG lossless": "Optional: pip install python-gdcm."}
LEAST_DISK_GB, LEAST_MEMORY_GB = 1.0, 4.0

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. status: "failed" means that something essential does not work; remedy says what to do."""

    subject: str
    status: Status
    finding: str
    remedy: str = ""


class ProbeFailed(Exception):  # noqa: N818
    """A child process did not answer; the text says how it ended."""


def probe(name: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Facts from `brainviewer.doctor.probes` in a child process; raises ProbeFailed."""
    command = [sys.executable, "-m", "brainviewer.doctor.probes", name]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_SECONDS, env={**os.environ, **(environment or {})}
        )
    except subprocess.TimeoutExpired as error:
        raise ProbeFailed(f"no answer within {PROBE_SECONDS} s") from error
    if done.returncode:
        raise ProbeFailed(how_it_ended(done.returncode, done.stderr))
    facts: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return facts


def how_it_ended(status: int, said: str) -> str:
    """A child's end in words: the signal that killed it, or the last thing it said."""
    if status < 0:
        return f"it crashed ({signal.Signals(-status).name})"
    lines = said.strip().splitlines()
    return lines[-1] if lines else f"it ended with status {status}"


def computing() -> Iterator[Check]:
    """torch, and whether engines run on a graphics card."""
    try:
        facts = probe("torch")
    except ProbeFailed as failure:
        yield Check("Engines", "failed", f"torch cannot be used: {failure}", INSTALL_AGAIN)
        return
    if facts["device"]:
        yield Check("Engines", "ok", f"torch {facts['version']} on {facts['device']} ({facts['memory_gb']} GB)")
    elif _nvidia_driver() and facts["built_for_cuda"] is None:
        remedy = "Run `python3 -m installer run --torch-index URL` with an index that holds the CUDA build."
        yield Check("Engines", "warning", f"torch {facts['version']} is built for the CPU; the card lies idle", remedy)
    elif _nvidia_driver():
        remedy = "Update the NVIDIA driver, then run the doctor again."
        yield Check("Engines", "warning", f"torch {facts['version']} cannot use the NVIDIA card", remedy)
    else:
        yield Check("Engines", "ok", f"torch {facts['version']}, no graphics card to compute on: runs on the CPU")


def _nvidia_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def graphics() -> Iterator[Check]:
    """OpenGL as VTK gets it."""
    try:
        facts = probe("opengl")
    except ProbeFailed as failure:
        remedy = f"Update the graphics driver, or install libgl1 and libegl1. {INSTALL_AGAIN}"
        yield Check("OpenGL", "failed", f"nothing can be drawn: {failure}", remedy)
        return
    name = facts["renderer"] or "unknown renderer"
    software = any(word in name.lower() for word in SOFTWARE_RENDERERS)
    text = f"{name}, OpenGL {facts['version']}"
    yield Check("OpenGL", "ok", f"{text} (software: correct, but slower)" if software else text)


def window() -> Iterator[Check]:
    """Whether Qt can show a window here."""
    linux = sys.platform.startswith("linux")
    if linux and not os.environ.get("DISPLAY"):
        wayland = bool(os.environ.get("WAYLAND_DISPLAY"))
        finding = "Wayland without XWayland: the views need X" if wayland else "no display: no window can be shown"
        remedy = "Install XWayland." if wayland else "Use a desktop session, or `brainviewer demo --offscreen DIR`."
        yield Check("Window", "warning", finding, remedy)
        return
    try:
        facts = probe("qt", {"QT_QPA_PLATFORM": "xcb"} if linux else None)
    except ProbeFailed as failure:
        remedy = "Run `python3 -m installer run`: it installs or names the missing system libraries."
        yield Check("Window", "failed", f"Qt cannot start: {failure}", remedy)
        return
    yield Check("Window", "ok", f"Qt {facts['version']} on {facts['platform']}, screen {facts['screen']}")


def codecs() -> Iterator[Check]:
    """Compressed DICOM: a small picture decoded with each codec."""
    try:
        faults = probe("codecs")
    except ProbeFailed as failure:
        yield Check("Codecs", "failed", f"no codec could be tried: {failure}", INSTALL_AGAIN)
        return
    good = [name for name, fault in faults.items() if fault is None]
    yield Check("Codecs", "ok" if good else "failed", f"decode: {', '.join(['uncompressed', *good])}")
    for name, fault in faults.items():
        if fault is not None:
            status: Status = "failed" if name in ESSENTIAL_CODECS else "warning"
            yield Check("Codecs", status, f"{name}: {fault}", CODEC_REMEDY.get(name, INSTALL_AGAIN))


def models() -> Iterator[Check]:
    """Every model's files against the digests in its card."""
    from brainviewer.storage import models as stored
    from engines import model_package

    found, faults = stored.find()
    bundled = 0
    for model in found:
        title = f"{model.card.name} {model.card.version} ({model.card.engine}, {model.card.modality or 'any images'})"
        try:
            model_package.verify(model.folder)
        except KnownError as error:
            faults = [*faults, error]  # type: ignore[list-item]
            continue
        bundled += stored.is_bundled(model)
        yield Check("Models", "ok", f"{title}: digest {model.card.digest[:12]} is right")
    for fault in faults:
        remedy = fault.remedy or "Get the model again (git checkout resources/models), or remove it."
        yield Check("Models", "failed", fault.message, remedy)
    if not bundled and not faults:
        remedy = "Train one (`brainviewer train`) or add one (`brainviewer models add`)."
        yield Check("Models", "warning", "no model comes with this copy of the program", remedy)


def user_folders() -> Iterator[Check]:
    """Whether settings, data, cache and logs can be written."""
    from brainviewer.storage import folders

    remedy = "Change the folder's permissions, or set BRAINVIEWER_HOME to a folder you may write to."
    places = (folders.settings_dir(), folders.data_dir(), folders.cache_dir(), folders.log_dir())
    for folder in dict.fromkeys(places):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"BrainViewer")
        except OSError as error:
            yield Check("Folders", "failed", f"{folder} cannot be written: {error.strerror}", remedy)
        else:
            yield Check("Folders", "ok", f"{folder} can be written")


def room() -> Iterator[Check]:
    """Free disk space and memory."""
    import psutil

    from brainviewer.storage import folders

    folder = folders.data_dir()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**30
    disk_remedy = "Free some disk space." if free < LEAST_DISK_GB else ""
    yield Check("Disk", "warning" if disk_remedy else "ok", f"{free:.1f} GB free in {folder}", disk_remedy)
    memory = psutil.virtual_memory()
    total, available = memory.total / 2**30, memory.available / 2**30
    low = "Close other programs, or expect trouble with large volumes." if available < LEAST_MEMORY_GB / 2 else ""
    if total < LEAST_MEMORY_GB:
        low = f"BrainViewer wants {LEAST_MEMORY_GB:g} GB of memory or more."
    yield Check("Memory", "warning" if low else "ok", f"{available:.1f} of {total:.1f} GB free", low)


def sample_study() -> Iterator[Check]:
    """Whether the demo can be made."""
    from brainviewer.demo.anatomy import template_folder

    try:
        template_folder()
    except KnownError as error:
        yield Check("Demo", "warning", error.message, error.remedy)
    else:
        yield Check("Demo", "ok", "the brain template is installed")


QUESTIONS: tuple[Callable[[], Iterator[Check]], ...] = (
    computing, graphics, window, codecs, models, user_folders, room, sample_study,
)  # fmt: skip


def examine() -> Iterator[Check]:
    """Every finding, as soon as it is there."""
    for question in QUESTIONS:
        yield from question()
