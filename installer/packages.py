"""Installing packages with pip, and saying in one sentence why it failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from installer.trouble import Trouble, say

NO_SUCH_VERSION = "No matching distribution found"
SIGNS_OF_NO_NETWORK = (
    "NewConnectionError",
    "ConnectTimeoutError",
    "Temporary failure in name resolution",
    "Name or service not known",
    "Network is unreachable",
    "ProxyError",
    "Connection refused",
    "getaddrinfo failed",
    "Read timed out",
    "ReadTimeoutError",
    "SSLError",
)
# What a user wants to see of pip's output; the rest goes to the log.
SHOWN = ("Collecting ", "Downloading ", "Installing collected")


class PipFailed(Exception):  # noqa: N818
    """pip ended with an error; output is everything it said."""

    def __init__(self, output: str) -> None:
        super().__init__(output[-500:])
        self.output = output


def pip(python: str, *arguments: str) -> str:
    """Run pip, showing its progress on a terminal; returns what it said or raises PipFailed with it."""
    command = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    said: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - asked for by stdout=PIPE
        for line in process.stdout:
            said.append(line)
            _show(line.strip())
    _show("")
    output = "".join(said)
    if process.returncode:
        raise PipFailed(output)
    return output


def _show(line: str) -> None:
    """One line that overwrites itself; nothing where the output is a file."""
    if sys.stdout.isatty() and (not line or line.startswith(SHOWN)):
        print(f"\r\x1b[K  {line[:76]}" if line else "\r\x1b[K", end="", flush=True)


def explain(output: str) -> str:
    """Why pip failed, in a sentence with the remedy."""
    last = [line for line in output.splitlines() if line.startswith("ERROR:")]
    reason = last[-1].removeprefix("ERROR:").strip() if last else "no reason given"
    if "No space left on device" in output:
        return "The disk is full. BrainViewer needs about 4 GB (10 GB with CUDA) for its packages."
    if any(sign in output for sign in SIGNS_OF_NO_NETWORK):
        return (
            "The packages could not be fetched: the package index cannot be reached. Connect to the network, or tell "
            "pip your proxy or mirror (pip config set global.index-url URL), and run the same command again."
        )
    if NO_SUCH_VERSION in output:
        return f"pip found no fitting package ({reason}). Use Python 3.11 to 3.13 on a 64-bit system."
    return f"pip could not install the packages ({reason})."


def torch_choices(requirement: str, *, cuda: bool, own_index: bool) -> list[str]:
    """Which builds of torch to try, in this order.

    The label +cpu names the small build, where the configured sources have it. `===` refuses that label, which
    pip would else prefer to the plain version; on Linux the plain version is the CUDA build.
    """
    if own_index:
        return [requirement]
    if cuda:
        return [requirement.replace("==", "==="), requirement]
    return [f"{requirement}+cpu", requirement] if sys.platform != "darwin" else [requirement]


def install(python: str, requirements: list[str], constraints: Path, *, torch_index: str, cuda: bool) -> None:
    """Install pinned packages; torch comes first because its build has to be chosen."""
    torch, *others = requirements
    index = ["--index-url", torch_index, "--no-deps"] if torch_index else []
    say(f"Installing {torch} ({'for CUDA' if cuda else 'for the CPU'})")
    choices = torch_choices(torch, cuda=cuda, own_index=bool(torch_index))
    for position, choice in enumerate(choices):
        try:
            pip(python, "install", *index, "--constraint", str(constraints), choice)
            break
        except PipFailed as failed:
            last = position == len(choices) - 1
            if last or NO_SUCH_VERSION not in failed.output:
                raise Trouble(explain(failed.output)) from failed
    say(f"Installing {len(others)} packages and what they need")
    try:
        pip(python, "install", "--constraint", str(constraints), torch, *others)
    except PipFailed as failed:
        raise Trouble(explain(failed.output)) from failed


def install_project(python: str, repository: Path) -> None:
    """Make `brainviewer` and `engines` importable from the checkout, with the command `brainviewer`."""
    try:
        pip(python, "install", "--no-deps", "--no-build-isolation", "--editable", str(repository))
    except PipFailed as failed:
        raise Trouble(explain(failed.output)) from failed


def check_cuda(python: str) -> bool:
    """Say whether torch can use the graphics card."""
    code = "import torch; print(torch.cuda.get_device_name(0) if torch.cuda.is_available() else '')"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    name = done.stdout.strip()
    if name:
        say(f"torch uses {name}.")
    else:
        say(
            "An NVIDIA driver is there but torch cannot use it (the driver may be too old for this torch, or the build "
            "that pip found is for the CPU; choose another with --torch-index URL). The engines will run on the CPU."
        )
    return bool(name)
