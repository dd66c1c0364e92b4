"""A real archive for the tests: Orthanc on ports of its own, on this machine only, gone when the tests end."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from brainviewer.storage.nodes import Node

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "tester", "secret"


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running archive."""

    http: int
    dicom: int
    listen: int

    def node(self, kind: str = "dimse", **changes: object) -> Node:
        values: dict[str, Any] = {
            "name": "test archive",
            "kind": kind,
            "port": self.dicom,
            "title": "ORTHANC",
            "url": f"http://127.0.0.1:{self.http}/dicom-web",
            "user": USER,
            "password": PASSWORD,
            "timeout_s": 20,
            "listen_port": self.listen,
        }
        return Node.model_validate(values | changes)

    def get(self, path: str) -> Any:
        return requests.get(f"http://127.0.0.1:{self.http}{path}", auth=(USER, PASSWORD), timeout=10)

    def forget_all(self) -> None:
        """Empty the archive."""
        for study in self.get("/studies").json():
            requests.delete(f"http://127.0.0.1:{self.http}/studies/{study}", auth=(USER, PASSWORD), timeout=10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(folder: Path, **extra: object) -> Iterator[Orthanc]:
    """Start Orthanc, or skip the test where it is not installed."""
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    if program is None or not PLUGIN.exists():
        pytest.skip("needs Orthanc: apt-get install orthanc orthanc-dicomweb, or run `python3 -m installer test`")
    folder.mkdir(parents=True, exist_ok=True)
    found = Orthanc(free_port(), free_port(), free_port())
    config = {
        "Name": "test", "StorageDirectory": str(folder / "store"), "IndexDirectory": str(folder / "store"),
        "HttpPort": found.http, "DicomPort": found.dicom, "RemoteAccessAllowed": False, "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": True, "DicomCheckModalityHost": True, "DicomAlwaysAllowStore": False,
        "DicomModalities": {"us": ["BRAINVIEWER", "127.0.0.1", found.listen]},
        "AuthenticationEnabled": True, "RegisteredUsers": {USER: PASSWORD}, "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}, "SynchronousCMove": True, "UnknownSopClassAccepted": True,
        **extra,
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(config))
    log = (folder / "log.txt").open("w")
    server = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log)
    try:
        _wait(found, server, folder)
        yield found
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def _wait(found: Orthanc, server: subprocess.Popen[bytes], folder: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        try:
            if found.get("/system").ok:
                return
        except requests.exceptions.ConnectionError:
            time.sleep(0.1)
    raise AssertionError(f"Orthanc did not start: {(folder / 'log.txt').read_text()[-2000:]}")
