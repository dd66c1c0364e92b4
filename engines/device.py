"""Where the numbers are crunched: choosing the device, and getting through when its memory runs out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from engines.contract import Report, silent
from engines.errors import BadInput, OutOfMemory

if TYPE_CHECKING:
    import torch

CHOICES = ("auto", "cuda", "cpu")
# Of the free memory, what the estimate gives away; the rest is for other programs and for torch's own scraps.
SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Device:
    """A device and the precision its networks run in.

    name: torch's word, "cuda" or "cpu". precision: "bf16" (autocast) or "fp32". title: for people.
    """

    name: str
    precision: str
    title: str

    @property
    def torch(self) -> torch.device:
        """The device as torch knows it."""
        import torch

        return torch.device(self.name)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which networks run; in float32 it does nothing."""
        import torch

        return torch.autocast(self.name, dtype=torch.bfloat16, enabled=self.precision == "bf16")


def choose(wanted: str = "auto") -> Device:
    """The device for "auto" (a GPU where there is one), "cuda" or "cpu"; raises BadInput where that GPU is missing."""
    import torch

    if wanted not in CHOICES:
        raise BadInput(f"There is no device '{wanted}'.", f"Choose one of {', '.join(CHOICES)}.")
    present = wanted != "cpu" and torch.cuda.is_available()
    if wanted == "cuda" and not present:
        reason = "this torch is built without CUDA" if torch.version.cuda is None else "no usable NVIDIA GPU was found"
        raise BadInput(f"CUDA was asked for, but {reason}.", "Use --device cpu, or run `brainviewer doctor`.")
    if not present:
        return Device("cpu", "fp32", f"CPU, {torch.get_num_threads()} threads")
    precision = "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return Device("cuda", precision, torch.cuda.get_device_name())


def peak_mb(device: Device) -> int:
    """Most memory so far, in MiB: allocated on the GPU, or resident in this process (it never falls again)."""
    if device.name == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated() >> 20)
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset >> 20)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most >> 20 if sys.platform == "darwin" else most >> 10)


@dataclass(slots=True)
class Chunked:
    """What run_chunked did: outputs in order, the chunk and device it ended with, warnings for the provenance."""

    outputs: list[Any] = field(default_factory=list)
    chunk: int = 0
    device: str = ""
    warnings: tuple[str, ...] = ()


class Meter(Protocol):
    """Measures what work takes of a device's memory, in bytes."""

    def begin(self) -> None:
        """Work on one item begins."""

    def needed(self) -> int:
        """Most that was taken at once since `begin`, beyond what was taken before."""

    def free(self) -> int:
        """What can still be taken."""


class GpuMeter:
    """torch's own count on the GPU in use."""

    def begin(self) -> None:  # noqa: D102
        import torch

        torch.cuda.reset_peak_memory_stats()
        self._before = torch.cuda.memory_allocated()

    def needed(self) -> int:  # noqa: D102
        import torch

        return int(torch.cuda.max_memory_allocated() - self._before)

    def free(self) -> int:  # noqa: D102
        import torch

        # What torch keeps for itself but does not use is free too.
        return int(torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated())


def _gpu_meter(device: str) -> Meter | None:
    import torch

    return GpuMeter() if device == "cuda" and torch.cuda.is_available() else None


def run_chunked(
    work: Callable[[Any, str], Any],
    items: Any,
    chunk: int,
    device: Device | str,
    report: Report = silent,
    text: str = "Computing",
    meter: Meter | None = None,
) -> Chunked:
    """Work through items in chunks; halve the chunk when memory runs out, and go on with the CPU at last.

    On a GPU the first item goes alone: what it takes says how many fit beside each other. `chunk` is the most.
    work(items[a:b], device name) -> output; it moves its network to the device named. items: anything with len() and
    slices. meter: measures memory; the GPU's own where there is one. Raises OutOfMemory when a single item is too
    much for the CPU too.
    """
    done = Chunked(chunk=max(1, min(chunk, len(items))), device=device if isinstance(device, str) else device.name)
    meter = _gpu_meter(done.device) if meter is None else meter
    position = 0
    while position < len(items):
        report(position, len(items), text)
        part = items[position : position + (done.chunk if meter is None else 1)]
        if meter is not None:
            meter.begin()
        output, full = _attempt(work, part, done.device)
        if full:
            _give_way(done, len(part))
            continue
        if meter is not None:
            done.chunk = max(1, min(done.chunk, int(meter.free() * SHARE) // max(meter.needed(), 1)))
            meter = None
        done.outputs.append(output)
        position += len(part)
    report(len(items), len(items), text)
    return done


def _attempt(work: Callable[[Any, str], Any], part: Any, device: str) -> tuple[Any, bool]:
    # The exception must be gone before the cache is emptied: its traceback keeps the tensors alive.
    try:
        return work(part, device), False
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    return None, True


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that the memory of CPU or GPU was not enough."""
    import torch

    words = ("not enough memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDA out of memory")
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or (isinstance(error, RuntimeError) and any(word in str(error) for word in words))


def _give_way(done: Chunked, tried: int) -> None:
    if done.device == "cuda":
        import torch

        torch.cuda.empty_cache()
    if tried > 1:
        done.chunk = tried // 2
        note = "Memory was short; the work went on in smaller pieces."
        done.warnings += () if note in done.warnings else (note,)
    elif done.device != "cpu":
        done.device = "cpu"
        done.warnings += ("The GPU's memory was not enough even for one slice; the CPU finished the work.",)
    else:
        raise OutOfMemory(
            "There is not enough memory for this volume.", "Close other programs, or use a smaller model."
        )
